//! What it means that a cluster can't be asked, doesn't answer or refuses, and what to do: one sentence each. Pure.

use std::fmt::Write;

use kube::{
    config::{Kubeconfig, KubeconfigError},
    core::Status,
};

/// Why the kubeconfig `which` can't be used.
pub fn kubeconfig(which: &str, error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no kubeconfig {which}; name one with --kubeconfig or KUBECONFIG")
        }
        KubeconfigError::ReadConfig(error, _) => {
            format!("cannot read the kubeconfig {which}: {error}; name one that you may read")
        }
        KubeconfigError::FindPath => {
            "there is no kubeconfig, and no home folder to look into; name one with --kubeconfig".to_owned()
        }
        KubeconfigError::CurrentContextNotSet => format!(
            "the kubeconfig {which} has no current context; choose one with --context or `kubectl config use-context NAME`"
        ),
        KubeconfigError::Parse(error) => {
            let first = error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!(
                "the kubeconfig {which} is no YAML of a kubeconfig: {first}; correct it, or name another with --kubeconfig"
            )
        }
        other => format!(
            "cannot use the kubeconfig {which}: {}; correct it, or name another with --kubeconfig",
            chain(other)
        ),
    }
}

/// A name that was asked for and isn't in the kubeconfig `which`.
pub fn unknown(
    which: &str,
    content: &Kubeconfig,
    context: Option<&str>,
    cluster: Option<&str>,
    user: Option<&str>,
) -> Option<String> {
    let contexts = content.contexts.iter().map(|one| one.name.as_str());
    let clusters = content.clusters.iter().map(|one| one.name.as_str());
    let users = content.auth_infos.iter().map(|one| one.name.as_str());
    let wanted = [
        ("context", context, contexts.collect::<Vec<_>>()),
        ("cluster", cluster, clusters.collect()),
        ("user", user, users.collect()),
    ];
    wanted.into_iter().find_map(|(kind, name, known)| {
        let name = name.filter(|name| !known.contains(name))?;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Some(format!(
            "there is no {kind} {name:?} in the kubeconfig {which}, which has {known}; choose one of them with --{kind}"
        ))
    })
}

/// Why no client can be made of a kubeconfig that can be read: certificates, or a command to log in.
pub fn setup(why: &str) -> String {
    let why = why.trim_start_matches("cannot set up the API client: ").trim_start_matches("auth error: ");
    if !["auth exec", "exec-plugin", "exec auth"].iter().any(|word| why.contains(word)) {
        return format!(
            "cannot set up the client: {why}; correct the user in the kubeconfig, or choose another with --user"
        );
    }
    // What it is called with is long, and tells nobody anything.
    let status = why.split_once("failed with status ").and_then(|(_, rest)| rest.split(": Output").next());
    format!(
        "the command that logs you in, which the kubeconfig names under users[].user.exec, failed: {}; run it by hand and see",
        status.unwrap_or(why)
    )
}

/// Why `server` gave no answer to `what`, of which `why` is what the network said.
pub fn silence(what: &str, why: &str, server: Option<&str>) -> String {
    let named = server.map_or_else(String::new, |server| format!(" {server}"));
    let at = format!("the API server{named}");
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    let layer =
        |text: &str| text.split_once("): ").filter(|(head, _)| head.starts_with("client error")).map(|at| at.1.len());
    let short = layer(why).map_or(why, |length| &why[why.len() - length..]);
    let short = short.split("; certificate is only valid").next().unwrap_or(short);
    let short = if short == "deadline has elapsed" { "not within --request-timeout" } else { short };
    let sentence = match () {
        () if has(&["dns error", "lookup address"]) => format!(
            "the name of {at} is unknown here; correct the server in the kubeconfig, or choose another --context"
        ),
        () if has(&["not valid for name", "NotValidForName"]) => format!(
            "{at} shows a certificate for another name ({short}); use a name that it has, or set tls-server-name in the kubeconfig"
        ),
        () if has(&["certificate expired"]) => {
            format!("the certificate of {at} has expired, or a clock is wrong ({short}); have it renewed")
        }
        () if has(&["invalid peer certificate", "UnknownIssuer"]) => format!(
            "the certificate of {at} isn't trusted ({short}); certificate-authority in the kubeconfig has to be that of this \
             cluster: fetch the kubeconfig anew"
        ),
        () if has(&["received fatal alert"]) => {
            format!("{at} refuses the client certificate ({short}); log in again, or choose another --user")
        }
        () if has(&["corrupt message", "InvalidContentType"]) => {
            format!("{at} speaks no TLS; write http:// in the kubeconfig, or correct the port")
        }
        () if has(&["expected value at line 1 column 1"]) => format!(
            "what answers as {at} is none ({short}); correct the server in the kubeconfig, or choose another --context"
        ),
        () if has(&["Error deserializing"]) => format!(
            "the answer of {at} can't be read ({short}); the CRDs there may be of another release than this tool"
        ),
        () => format!(
            "{at} doesn't answer ({short}); see whether it runs and is reached from here (`kubectl get --raw /readyz`), or choose \
             another --context"
        ),
    };
    format!("cannot {what}: {sentence}")
}

/// What the API server says of a field that the CRD doesn't have.
const OLD_CRD: &str = "strict decoding error: unknown field";

/// What the API server's refusal of `what` means.
pub fn refusal(what: &str, status: &Status) -> String {
    let said = if status.message.is_empty() { &status.reason } else { &status.message };
    // Before it stands the whole object.
    let said = said.find(OLD_CRD).map_or(said.as_str(), |at| &said[at..]).trim_end_matches('.');
    let next = match status.code {
        401 => {
            return format!(
                "cannot {what}: the API server doesn't accept who you are (401): the token or certificate has expired, or is \
                 another cluster's; log in again, or choose another --context or --user"
            );
        }
        403 => match Forbidden::read(said) {
            Some(forbidden) => return format!("cannot {what}: {}", forbidden.sentence()),
            // A policy, a quota or another admission plug-in says itself what is to be done.
            None => "correct what the message names, or ask whoever manages this cluster",
        },
        400 | 422 if said.starts_with(OLD_CRD) => {
            "the CRDs here are older than this tool: install those of this release (`kubectl apply --server-side -k crds`)"
        }
        404 if said.contains("could not find the requested resource") || said.contains("page not found") => {
            "the CRDs of koupleless.io are not installed here, or are older than this tool: install those of this release \
             (`kubectl apply --server-side -k crds`), or choose another --context"
        }
        404 => "it may just have been deleted; try again",
        409 => "somebody else changed it meanwhile; try again",
        400 | 422 => "correct the value",
        429 | 503 => "the API server is busy; try again",
        500.. => "the API server is in trouble; try again, and see its log",
        _ => "see docs/kubectl-module.md",
    };
    format!("cannot {what}: {said}; {next}")
}

/// What a user may not do, as the authorizer of the API server says it.
#[derive(Debug, PartialEq, Eq)]
struct Forbidden<'a> {
    user: &'a str,
    verb: &'a str,
    resource: &'a str,
    group: &'a str,
    /// `None`: in the whole cluster.
    namespace: Option<&'a str>,
}

impl<'a> Forbidden<'a> {
    /// Reads `... is forbidden: User "u" cannot list resource "r" in API group "g" in the namespace "n"`.
    fn read(said: &'a str) -> Option<Self> {
        let (_, rest) = said.split_once(" is forbidden: User ")?;
        let (user, rest) = quoted(rest)?;
        let (verb, rest) = rest.strip_prefix(" cannot ")?.split_once(' ')?;
        let (resource, rest) = quoted(rest.strip_prefix("resource ")?)?;
        let (group, rest) = quoted(rest.strip_prefix(" in API group ")?)?;
        let namespace = rest.strip_prefix(" in the namespace ").and_then(quoted).map(|(namespace, _)| namespace);
        Some(Self { user, verb, resource, group, namespace })
    }

    fn sentence(&self) -> String {
        let mut text = format!("{} may not {} {}", self.user, self.verb, self.resource);
        if !self.group.is_empty() {
            let _ = write!(text, ".{}", self.group);
        }
        let role = role_with(self.verb, self.group, self.resource);
        let (place, next) = match (self.namespace, role) {
            (Some(namespace), Some(role)) => {
                (format!("in namespace {namespace}"), format!("ask for a RoleBinding to the ClusterRole {role} there"))
            }
            (None, Some(role)) => (
                "in all namespaces".to_owned(),
                format!("name one namespace with -n, or ask for a ClusterRoleBinding to the ClusterRole {role}"),
            ),
            (namespace, None) => (
                namespace.map_or_else(|| "here".to_owned(), |namespace| format!("in namespace {namespace}")),
                "ask whoever manages this cluster for that right".to_owned(),
            ),
        };
        let _ = write!(text, " {place}; {next}");
        text
    }
}

/// What is in the quotes at the beginning, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

/// The role in `config/users` that has a right.
fn role_with(verb: &str, group: &str, resource: &str) -> Option<&'static str> {
    let reads = matches!(verb, "get" | "list" | "watch");
    match (group, resource) {
        (crate::api::keys::GROUP, _) | ("", "pods" | "events") | ("events.k8s.io", "events") if reads => {
            Some("module-viewer")
        }
        (crate::api::keys::GROUP, "moduledeployments" | "moduledeployments/scale") => Some("module-editor"),
        (crate::api::keys::GROUP, "modulereplicasets" | "modules") if verb == "patch" => Some("module-editor"),
        ("", "pods/proxy") => Some("module-editor"),
        ("apps", "deployments") if reads => Some("module-editor"),
        _ => None,
    }
}

/// An error with its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> String {
        refusal("list moduledeployments", &Status { code, message: message.to_owned(), ..Status::default() })
    }

    /// What each begins with, and what it says to do.
    fn assert_says(text: &str, begins: &str, to_do: &str) {
        assert!(text.starts_with(begins) && text.ends_with(to_do), "{text}");
        assert!(!text.contains('\n'), "one sentence: {text}");
    }

    #[test]
    fn what_may_not_be_done_is_told_with_the_role_to_ask_for() {
        let may_not = |verb: &str, resource: &str, group: &str, place: &str| {
            let named = format!("{resource}.{group} \"hello\" is forbidden: User \"eve\" cannot {verb} resource");
            refused(403, &format!("{named} \"{resource}\" in API group \"{group}\" {place}"))
        };
        let (here, group) = ("in the namespace \"shop\"", "koupleless.io");
        let ask = |role: &str| format!("in namespace shop; ask for a RoleBinding to the ClusterRole {role} there");
        for (verb, resource, role) in [
            ("list", "moduledeployments", "module-viewer"),
            ("patch", "moduledeployments", "module-editor"),
            ("patch", "moduledeployments/scale", "module-editor"),
            ("patch", "modulereplicasets", "module-editor"),
        ] {
            let says = format!("cannot list moduledeployments: eve may not {verb} {resource}.{group} {}", ask(role));
            assert_eq!(may_not(verb, resource, group, here), says);
        }
        let everywhere = may_not("list", "pods", "", "at the cluster scope");
        assert_says(
            &everywhere,
            "cannot list moduledeployments: eve may not list pods in all namespaces; name one namespace with -n, or ask",
            "for a ClusterRoleBinding to the ClusterRole module-viewer",
        );
        let nobody = may_not("delete", "modules", group, here);
        assert!(nobody.ends_with("in namespace shop; ask whoever manages this cluster for that right"), "{nobody}");
        let policy =
            refused(403, "moduledeployments \"a\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no");
        let begins = "cannot list moduledeployments: moduledeployments \"a\" is forbidden";
        assert_says(&policy, begins, "whoever manages this cluster");
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, message, part, to_do) in [
            (401, "Unauthorized", "the API server doesn't accept who you are", "--context or --user"),
            (404, "404 page not found", "404 page not found; the CRDs of koupleless.io are not", "another --context"),
            (
                400,
                "\" \" is invalid: \"{all of it}\": strict decoding error: unknown field \"spec.paused\"",
                "strict",
                "-k crds`)",
            ),
            (422, "spec.replicas: too small.", "spec.replicas: too small;", "correct the value"),
            (400, "found '=', expected: ','", "found '='", "correct the value"),
            (409, "the object has been modified", "the object", "try again"),
            (503, "no", "no", "busy; try again"),
            (500, "no", "no", "see its log"),
        ] {
            assert_says(&refused(code, message), &format!("cannot list moduledeployments: {part}"), to_do);
        }
    }

    #[test]
    fn silence_names_the_address_and_what_is_wrong_with_it() {
        for (why, part, to_do) in [
            (
                "tcp connect error: Connection refused",
                "doesn't answer (tcp connect error: Connection refused)",
                "--context",
            ),
            ("dns error: failed to lookup address information", "the name of the API server", "another --context"),
            (
                "invalid peer certificate: certificate not valid for name \"api\"; certificate is only valid for x",
                "for another name (invalid peer certificate: certificate not valid for name \"api\")",
                "in the kubeconfig",
            ),
            ("invalid peer certificate: UnknownIssuer", "isn't trusted", "fetch the kubeconfig anew"),
            ("invalid peer certificate: certificate expired: verification time 1", "has expired", "renewed"),
            ("received fatal alert: CertificateExpired", "refuses the client certificate", "another --user"),
            ("received corrupt message of type InvalidContentType", "speaks no TLS", "the port"),
            ("expected value at line 1 column 1", "what answers as the API server", "another --context"),
            ("Error deserializing response: invalid type: string", "can't be read", "than this tool"),
        ] {
            for layer in ["", "client error (Connect): "] {
                let text = silence("list modules", &format!("{layer}{why}"), Some("https://api:6443"));
                assert!(text.contains(part) && text.contains("https://api:6443"), "{text}");
                assert_says(&text, "cannot list modules: ", to_do);
            }
        }
        assert!(silence("list modules", "no route", None).contains("the API server doesn't answer (no route)"));
    }

    #[test]
    fn a_login_command_that_fails_is_told_without_what_it_is_called_with() {
        let called = "auth error: auth exec command 'KUBERNETES_EXEC_INFO=\"{}\" \"false\"'";
        let ran = format!("{called} failed with status exit status: 1: Output {{ status: 1 }}");
        assert_says(&setup(&ran), "the command that logs you in", "failed: exit status: 1; run it by hand and see");
        let missing = "auth error: unable to run auth exec: No such file or directory (os error 2)";
        assert_says(&setup(missing), "the command that logs you in", "(os error 2); run it by hand and see");
        let token = "cannot set up the API client: auth error: failed to read token file";
        assert_says(&setup(token), "cannot set up the client: failed to read token file;", "--user");
    }

    #[test]
    fn a_name_that_is_not_in_the_kubeconfig_is_told_with_those_that_are() {
        let content = "{contexts: [{name: a, context: {cluster: c, user: u}}, {name: b}], clusters: [{name: c}]}";
        let content = Kubeconfig::from_yaml(content).expect("a kubeconfig");
        let of = |context, cluster, user| unknown("x", &content, context, cluster, user);
        assert_eq!(of(Some("a"), Some("c"), None), None);
        let said = of(Some("no"), None, None).expect("it isn't there");
        assert_says(&said, "there is no context \"no\" in the kubeconfig x, which has a, b;", "with --context");
        assert!(of(None, Some("no"), None).expect("it isn't there").contains("no cluster \"no\""));
        assert!(of(None, None, Some("u")).expect("it isn't there").contains("which has none"));
    }
}
