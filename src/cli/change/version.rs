//! set-version: another version of the module, and its URL.

use kube::ResourceExt;
use serde_json::json;

use super::{CHANGE_CAUSE, Change, Decision, alive};
use crate::api::ModuleDeployment;

/// Another version. Without a URL the old version is replaced in the present one, where that can only be meant one way.
/// `cause` becomes the revision's change cause; one of the version before doesn't stay.
pub fn plan_version(deployment: &ModuleDeployment, version: &str, url: Option<&str>, cause: Option<&str>) -> Decision {
    alive(deployment)?;
    let name = deployment.name_any();
    let Some(module) = deployment.module() else {
        return Err(format!("{name} has no module in spec.template.spec.module; give it one first"));
    };
    let url = match url {
        Some(url) => url.to_owned(),
        None if version == module.version => module.url.clone(),
        None => replaced(&module.url, &module.version, version).map_err(|why| {
            format!("cannot tell the URL of version {version} from {:?}: {why}; give it with --url", module.url)
        })?,
    };
    let had = deployment.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let had =
        had.and_then(|metadata| metadata.annotations.as_ref()).and_then(|annotations| annotations.get(CHANGE_CAUSE));
    let new_version = version != module.version;
    if !new_version && url == module.url && cause.is_none() {
        return Ok(Change::Nothing(format!("already at version {version}")));
    }
    let mut template = json!({ "spec": { "module": { "version": version, "url": url } } });
    if cause.is_some() || (new_version && had.is_some()) {
        template["metadata"] = json!({ "annotations": { CHANGE_CAUSE: cause } });
    }
    let done = match new_version {
        true => format!("set to version {version} ({url})"),
        false => format!("set to {url}, the version stays {version}"),
    };
    Ok(Change::Patch {
        patch: json!({ "spec": { "template": template } }),
        done,
        notes: notes(deployment, new_version),
    })
}

fn notes(deployment: &ModuleDeployment, new_version: bool) -> Vec<String> {
    let name = deployment.name_any();
    let mut notes = Vec::new();
    if deployment.is_paused() {
        notes.push(format!("{name} is paused: it begins with `kubectl module resume {name}`"));
    }
    if !new_version {
        notes.push(format!("what runs stays; `kubectl module restart {name}` fetches it from the new URL"));
    }
    let md5 = deployment.module().and_then(|module| module.md5.as_deref()).is_some_and(|md5| !md5.is_empty());
    if md5 {
        notes.push("spec.template.spec.module.md5 is still that of the jar before".to_owned());
    }
    notes
}

/// The URL with the new version in place of the old one, or why that can't be told.
///
/// Every occurrence is replaced (a Maven repository has the version in the folder's name and in the file's), if each of them
/// stands in the path and for itself: no letter or digit touches it, and no further number follows or precedes it behind a
/// dot. A version that is a bare number must occur only once.
fn replaced(url: &str, old: &str, new: &str) -> Result<String, String> {
    // A version such as 1.0.0+build may stand there as it is, or encoded.
    let forms = [(old.to_owned(), new.to_owned()), (old.replace('+', "%2B"), new.replace('+', "%2B"))];
    let Some((old, new)) = forms.into_iter().find(|(old, _)| !old.is_empty() && url.contains(old.as_str())) else {
        return Err(format!("version {old} does not occur in it"));
    };
    let path = path_start(url);
    let found: Vec<usize> = url.match_indices(&old).map(|(at, _)| at).collect();
    let alone = |at: usize| at >= path && stands_alone(&url[..at], &url[at + old.len()..]);
    if !found.iter().all(|&at| alone(at)) {
        return Err(format!("{old} is part of something else in it"));
    }
    if found.len() > 1 && old.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("{old} occurs in it more than once"));
    }
    Ok(url.replace(&old, &new))
}

/// Where the path begins.
fn path_start(url: &str) -> usize {
    match url.find("://") {
        Some(scheme) => url[scheme + 3..].find('/').map_or(url.len(), |slash| scheme + 3 + slash),
        None => url.find(':').map_or(0, |colon| colon + 1),
    }
}

/// Whether what is between these two stands for itself.
fn stands_alone(before: &str, after: &str) -> bool {
    let number_before = before.strip_suffix('.').is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
    let number_after = after.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let touches = before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
    !touches && !number_before && !number_after && !after.starts_with('+') && !after.starts_with("%2B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_version_is_replaced_where_it_can_only_be_meant_one_way() {
        for (url, old, new, expected) in [
            ("https://r/hello-1.0.0-ark-biz.jar", "1.0.0", "2.0.0", Ok("https://r/hello-2.0.0-ark-biz.jar")),
            ("https://r/g/hello/1.0.0/hello-1.0.0.jar", "1.0.0", "1.1", Ok("https://r/g/hello/1.1/hello-1.1.jar")),
            ("file:///mods/hello-1.0.0.jar", "1.0.0", "2.0.0", Ok("file:///mods/hello-2.0.0.jar")),
            ("file:/mods/hello-1.0.0.jar", "1.0.0", "2.0.0", Ok("file:/mods/hello-2.0.0.jar")),
            ("https://r/h-1.0.0%2Bb7.jar", "1.0.0+b7", "1.0.1+b1", Ok("https://r/h-1.0.1%2Bb1.jar")),
            ("https://r/h-1.0.0+b7.jar", "1.0.0+b7", "1.0.1", Ok("https://r/h-1.0.1.jar")),
            ("https://r/h.jar?v=1.0.0", "1.0.0", "2.0.0", Ok("https://r/h.jar?v=2.0.0")),
            ("https://r/hello-3.jar", "3", "4", Ok("https://r/hello-4.jar")),
            ("https://r/hello-latest.jar", "1.0.0", "2.0.0", Err("does not occur")),
            ("https://r/hello-11.0.0.jar", "1.0.0", "2.0.0", Err("part of something else")),
            ("https://r/hello-1.0.0.1.jar", "1.0.0", "2.0.0", Err("part of something else")),
            ("https://r/hello-1.0.0+b7.jar", "1.0.0", "2.0.0", Err("part of something else")),
            ("https://r/v1/hello-1.jar", "1", "2", Err("part of something else")),
            ("https://r/3/hello-3.jar", "3", "4", Err("more than once")),
            ("https://1.0.0/hello-1.0.0.jar", "1.0.0", "2.0.0", Err("part of something else")),
            ("https://r/hello.jar", "", "2.0.0", Err("does not occur")),
        ] {
            let found = replaced(url, old, new);
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{url}"),
                Err(why) => assert!(found.as_ref().is_err_and(|error| error.contains(why)), "{url}: {found:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn going_there_and_back_gives_the_url_as_it_was(
            before in "https://[a-z]{1,8}(/[a-z-]{1,8}){0,3}/",
            old in "[1-9]\\.[0-9]{1,2}\\.[0-9]",
            new in "[1-9]\\.[0-9]{1,2}\\.[0-9]-rc[0-9]",
            after in "(-[a-z]{1,6}){0,2}\\.jar",
        ) {
            let url = format!("{before}hello-{old}{after}");
            let there = replaced(&url, &old, &new).expect("it stands alone");
            prop_assert_eq!(replaced(&there, &new, &old), Ok(url));
        }
    }
}
