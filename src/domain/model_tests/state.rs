//! What a state of the model is: everything that outlives the operator, as small as it goes.
//!
//! Bases are interchangeable, so a state keeps them sorted: states that differ only in which base is which are one.
//! Nothing is decided here, and nothing of the operator's memory may be kept here: it is what a restart forgets.

use std::fmt;

/// How many versions there are, and with them revisions.
pub const VERSIONS: usize = 3;

/// What a base has of one version: a Module, and a biz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// There is a Module.
    pub here: bool,
    /// It has a deletionTimestamp.
    pub leaving: bool,
    /// Its status says Available.
    pub available: bool,
    /// The biz is installed.
    pub installed: bool,
    /// The biz is the active one.
    pub active: bool,
}

/// A base pod: five bits for each version, and one for its own end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base(u16);

const ENDING: u16 = 1 << 15;

impl Base {
    pub fn place(self, version: usize) -> Place {
        let bits = self.0 >> (5 * version);
        Place {
            here: bits & 1 != 0,
            leaving: bits & 2 != 0,
            available: bits & 4 != 0,
            installed: bits & 8 != 0,
            active: bits & 16 != 0,
        }
    }

    pub fn put(&mut self, version: usize, place: Place) {
        let flags = [place.here, place.leaving, place.available, place.installed, place.active];
        let bits = flags.iter().enumerate().map(|(number, flag)| u16::from(*flag) << number).sum::<u16>();
        self.0 = (self.0 & !(0b1_1111 << (5 * version))) | (bits << (5 * version));
    }

    pub fn with(mut self, version: usize, place: Place) -> Self {
        self.put(version, place);
        self
    }

    pub fn is_ending(self) -> bool {
        self.0 & ENDING != 0
    }

    pub fn end(&mut self) {
        self.0 |= ENDING;
    }

    pub fn places(self) -> impl Iterator<Item = (usize, Place)> {
        (0..VERSIONS).map(move |version| (version, self.place(version))).filter(|(_, place)| place.here)
    }

    /// Whether some version is available here, and neither it nor the base is about to go.
    pub fn serves(self) -> bool {
        !self.is_ending() && self.places().any(|(_, place)| place.available && !place.leaving)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |(version, place): (usize, Place)| {
            let biz = match (place.installed, place.active) {
                (false, _) => "no biz",
                (true, false) => "biz inactive",
                (true, true) => "biz active",
            };
            let words = [(place.available, " available"), (place.leaving, " leaving")];
            let words: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            format!("v{}{words} ({biz})", version + 1)
        };
        let all: Vec<String> = self.places().map(one).collect();
        write!(f, "[{}{}]", if self.is_ending() { "ending: " } else { "" }, all.join(", "))
    }
}

/// A replica set. Its place in [`State::sets`] is its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set {
    pub exists: bool,
    /// `spec.replicas`.
    pub desired: u8,
    /// The revision label.
    pub number: u8,
    /// The number in its name, which a lifted label leaves behind.
    pub name: u8,
    /// `confirmBatchNum` when it was made.
    pub baseline: u8,
}

/// The words of `releaseStatus.progress` that a deployment can have here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shown {
    #[default]
    Executing,
    Waiting,
    Paused,
    Completed,
}

/// `releaseStatus.nextReconcileTime`, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resume {
    #[default]
    None,
    Later,
    Now,
}

/// `releaseStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    /// The number in the newest revision's name; 0 before there is a status.
    pub revision: u8,
    pub batch: u8,
    pub shown: Shown,
    pub resume: Resume,
}

/// Everything that the API server and the bases keep, and what the search itself has to remember.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub bases: Vec<Base>,
    pub sets: [Set; VERSIONS],
    pub status: Status,
    /// The version in the template.
    pub version: u8,
    /// `spec.scaleReplicas`.
    pub desired: u8,
    /// `spec.confirmBatchNum`.
    pub confirm: u8,
    pub paused: bool,
    /// What the user confirmed last since the newest revision became it.
    pub confirmed: u8,
    /// How many more faults and changes of mind may come.
    pub budget: u8,
}

impl State {
    pub fn sort(&mut self) {
        self.bases.sort_unstable();
    }

    /// The newest revision.
    pub fn newest(&self) -> Option<usize> {
        (0..VERSIONS).filter(|&set| self.sets[set].exists).max_by_key(|&set| self.sets[set].number)
    }

    /// On how many bases a version is available.
    pub fn serving(&self) -> u8 {
        count(self.bases.iter().filter(|base| base.serves()))
    }

    /// Modules of a set that aren't leaving, on bases that stay.
    pub fn live(&self, set: usize) -> impl Iterator<Item = Place> {
        let staying = self.bases.iter().filter(|base| !base.is_ending());
        staying.map(move |base| base.place(set)).filter(|place| place.here && !place.leaving)
    }

    pub fn available(&self, set: usize) -> u8 {
        count(self.live(set).filter(|place| place.available))
    }

    /// Modules of a set, whatever their state.
    pub fn existing(&self, set: usize) -> u8 {
        count(self.bases.iter().filter(|base| base.place(set).here))
    }

    /// Modules of all other sets than `newest`.
    pub fn existing_old(&self, newest: usize) -> u8 {
        (0..VERSIONS).filter(|&set| set != newest).map(|set| self.existing(set)).sum()
    }

    /// Modules of `set` on bases where `newest` is available.
    pub fn covered(&self, set: usize, newest: Option<usize>) -> u8 {
        let Some(newest) = newest.filter(|&newest| newest != set) else { return 0 };
        let serves = |base: &&Base| base.place(newest).available && !base.place(newest).leaving;
        let stands = |base: &&Base| base.place(set).here && !base.place(set).leaving;
        count(self.bases.iter().filter(serves).filter(stands))
    }
}

pub fn count<T>(items: impl Iterator<Item = T>) -> u8 {
    u8::try_from(items.count()).unwrap_or(u8::MAX)
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = (0..VERSIONS).filter(|&set| self.sets[set].exists);
        let sets: Vec<String> =
            sets.map(|set| format!("v{}#{} x{}", set + 1, self.sets[set].number, self.sets[set].desired)).collect();
        let bases: Vec<String> = self.bases.iter().map(Base::to_string).collect();
        write!(
            f,
            "v{} x{} confirm {}{} | {:?} batch {} {:?} | sets {} | {}",
            self.version + 1,
            self.desired,
            self.confirm,
            if self.paused { " paused" } else { "" },
            self.status.shown,
            self.status.batch,
            self.status.resume,
            sets.join(", "),
            bases.join(" ")
        )
    }
}
