//! The topics of the MQTT tunnel.
//!
//! ```text
//! koupleless_<env>/<device>/<command>      to the base
//! koupleless_<env>/<device>/base/<word>    from the base, but for base/baseline, which answers it
//! ```
//!
//! The device is what a base calls itself in topics. Must not: give a topic with more or other levels than these.

/// Longest name of a device: topics end up in logs and messages.
const LONGEST_DEVICE: usize = 200;

/// What a base tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// That it is there.
    Heart,
    /// It asks for the modules that it should have.
    QueryBaseline,
    /// The answer to [`Order::Health`].
    Health,
    /// The answer to [`Order::QueryAllBiz`], in the form of newer bases.
    SimpleBiz,
    /// The answer to [`Order::QueryAllBiz`], as the agent gives it over HTTP.
    Biz,
    /// The answer to [`Order::InstallBiz`] and [`Order::UninstallBiz`].
    BizOperation,
    /// How the install of a whole baseline ended.
    BatchInstall,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Heart,
        Self::QueryBaseline,
        Self::Health,
        Self::SimpleBiz,
        Self::Biz,
        Self::BizOperation,
        Self::BatchInstall,
    ];

    fn level(self) -> &'static str {
        match self {
            Self::Heart => "heart",
            Self::QueryBaseline => "queryBaseline",
            Self::Health => "health",
            Self::SimpleBiz => "simpleBiz",
            Self::Biz => "biz",
            Self::BizOperation => "bizOperation",
            Self::BatchInstall => "batchInstallBizResponse",
        }
    }
}

/// What a base is told to do. There is none that switches versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Say how it is.
    Health,
    /// List its biz.
    QueryAllBiz,
    /// Install one.
    InstallBiz,
    /// Uninstall one.
    UninstallBiz,
}

impl Order {
    /// The agent's own word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::QueryAllBiz => "queryAllBiz",
            Self::InstallBiz => "installBiz",
            Self::UninstallBiz => "uninstallBiz",
        }
    }
}

/// The topics of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// Of this environment; bases write it in lower case.
    pub fn new(env: &str) -> Self {
        Self { prefix: format!("koupleless_{}", env.to_lowercase()) }
    }

    /// What to subscribe to: each word of every device. Not `base/+`, which would bring the baselines back.
    pub fn filters(&self) -> Vec<String> {
        Word::ALL.iter().map(|word| format!("{}/+/base/{}", self.prefix, word.level())).collect()
    }

    /// Where a base is told something.
    pub fn order(&self, device: &str, order: Order) -> String {
        format!("{}/{device}/{}", self.prefix, order.word())
    }

    /// Where a base is told which modules it should have.
    pub fn baseline(&self, device: &str) -> String {
        format!("{}/{device}/base/baseline", self.prefix)
    }

    /// The device and the word of a topic; `None` for any other topic.
    pub fn read<'a>(&self, topic: &'a str) -> Option<(&'a str, Word)> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let (device, rest) = rest.split_once('/')?;
        let level = rest.strip_prefix("base/")?;
        let word = Word::ALL.into_iter().find(|word| word.level() == level)?;
        is_device(device).then_some((device, word))
    }
}

/// Whether a name can stand in the topic of an order.
fn is_device(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '+' | '#');
    !name.is_empty() && name.len() <= LONGEST_DEVICE && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_the_contract() {
        let topics = Topics::new("Dev");
        for (order, topic) in [
            (Order::Health, "koupleless_dev/a/health"),
            (Order::QueryAllBiz, "koupleless_dev/a/queryAllBiz"),
            (Order::InstallBiz, "koupleless_dev/a/installBiz"),
            (Order::UninstallBiz, "koupleless_dev/a/uninstallBiz"),
        ] {
            assert_eq!(topics.order("a", order), topic);
        }
        assert_eq!(topics.baseline("a"), "koupleless_dev/a/base/baseline");
        let filters = topics.filters();
        assert_eq!(filters.len(), 7);
        assert!(filters.contains(&"koupleless_dev/+/base/batchInstallBizResponse".to_owned()));
        assert!(!filters.iter().any(|filter| filter.ends_with("/baseline")), "what is said there is our own");
    }

    #[test]
    fn a_topic_tells_device_and_word_or_nothing() {
        let long = format!("koupleless_dev/{}/base/heart", "x".repeat(201));
        for (topic, want) in [
            ("koupleless_dev/10.0.0.7/base/heart", Some(("10.0.0.7", Word::Heart))),
            ("koupleless_dev/a/base/queryBaseline", Some(("a", Word::QueryBaseline))),
            ("koupleless_dev/a/base/health", Some(("a", Word::Health))),
            ("koupleless_dev/a/base/simpleBiz", Some(("a", Word::SimpleBiz))),
            ("koupleless_dev/a/base/biz", Some(("a", Word::Biz))),
            ("koupleless_dev/a/base/bizOperation", Some(("a", Word::BizOperation))),
            ("koupleless_dev/a/base/batchInstallBizResponse", Some(("a", Word::BatchInstall))),
            ("koupleless_dev/a/base/baseline", None),
            ("koupleless_dev/a/health", None),
            ("koupleless_dev/a/base/heart/more", None),
            ("koupleless_dev//base/heart", None),
            ("koupleless_dev/a b/base/heart", None),
            ("koupleless_dev/+/base/heart", None),
            ("koupleless_device/a/base/heart", None),
            ("koupleless_prod/a/base/heart", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(Topics::new("dev").read(topic), want, "{topic}");
        }
    }

    #[test]
    fn whatever_is_subscribed_to_is_read() {
        let topics = Topics::new("dev");
        for filter in topics.filters() {
            assert!(topics.read(&filter.replace('+', "a")).is_some(), "{filter}");
        }
    }
}
