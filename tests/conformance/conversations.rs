//! What is said to a base, and what it answers.
//!
//! An answer is written as `outer code "message" / inner code "message" => what the client makes of it`; see `words.rs` for
//! what is masked. Each conversation begins and ends with an empty base.

use std::time::Duration;

use Kind::{ActivateNew, Plain};
use Step::{
    Await, Begin, HastyInstall, HastyQuery, Health, Install, Post, Query, Raw, Release, Settle, Switch, Uninstall, Wait,
};

/// Which settings the base runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None.
    Plain,
    /// `-Dactivate.new.module=true`
    ActivateNew,
}

/// One thing that is done. Every step but the waiting ones makes one connection.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Name, version, jar.
    Install(&'static str, &'static str, &'static str),
    /// The same, but the client gives up after a second.
    HastyInstall(&'static str, &'static str, &'static str),
    /// The same, and the conversation goes on; two seconds later it must be under way.
    Begin(&'static str, &'static str, &'static str),
    /// The end of what was begun.
    Await,
    /// Name, version.
    Uninstall(&'static str, &'static str),
    /// Name, version.
    Switch(&'static str, &'static str),
    /// The list.
    Query,
    /// The list, but the client gives up after a second.
    HastyQuery,
    /// The health.
    Health,
    /// A path and a body that the client would not send.
    Post(&'static str, &'static str),
    /// Bytes that the client would not send.
    Raw(&'static str),
    /// The download that hangs ends.
    Release,
    /// Nothing, for a time.
    Wait(Duration),
    /// Nothing, until the list has something and nothing in it is starting any more.
    Settle,
}

/// Steps on one base, each with its answer.
pub struct Conversation {
    pub name: &'static str,
    pub base: Kind,
    pub steps: &'static [(Step, &'static str)],
}

pub const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        name: "a web module holds its context path",
        base: Plain,
        steps: &[
            (Query, "SUCCESS [] => []"),
            (
                Install("hello", "1.0.0", "hello-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: hello:1.0.0 success" => Installed(Activated)"#,
            ),
            (Query, "SUCCESS [hello:1.0.0 ACTIVATED /hello after 2] => [hello:1.0.0 Activated]"),
            (
                Install("hello", "1.0.0", "hello-1.0.0"),
                r#"FAILED "install biz not success!" / REPEAT_BIZ "Biz: hello:1.0.0 has been installed or registered." => AlreadyThere"#,
            ),
            (
                Install("hello", "2.0.0", "hello-2.0.0"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.lang.reflect.InvocationTargetException" => Rejected("java.lang.IllegalArgumentException: Child name [/hello] is not unique")"#,
            ),
            (Query, "SUCCESS [hello:1.0.0 ACTIVATED /hello after 2] => [hello:1.0.0 Activated]"),
            (Uninstall("hello", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: hello:1.0.0 success." => Gone"#),
            (
                Uninstall("hello", "1.0.0"),
                r#"FAILED "uninstall biz not success!" / NOT_FOUND_BIZ "Uninstall biz: hello:1.0.0 not found." => Gone"#,
            ),
            (
                Install("hello", "2.0.0", "hello-2.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: hello:2.0.0 success" => Installed(Activated)"#,
            ),
            (Query, "SUCCESS [hello:2.0.0 ACTIVATED /hello after 2] => [hello:2.0.0 Activated]"),
            (Uninstall("hello", "2.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: hello:2.0.0 success." => Gone"#),
            (Query, "SUCCESS [] => []"),
        ],
    },
    Conversation {
        name: "two versions side by side",
        base: Plain,
        steps: &[
            (
                Install("quiet", "1.0.0", "quiet-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:1.0.0 success" => Installed(Activated)"#,
            ),
            (
                Install("quiet", "2.0.0", "quiet-2.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:2.0.0 success" => Installed(Deactivated)"#,
            ),
            (
                Query,
                "SUCCESS [quiet:1.0.0 ACTIVATED / after 2, quiet:2.0.0 DEACTIVATED / after 2] => [quiet:1.0.0 Activated, quiet:2.0.0 Deactivated]",
            ),
            (Switch("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Switch biz: quiet:2.0.0 is activated." => Switched"#),
            (
                Query,
                "SUCCESS [quiet:1.0.0 DEACTIVATED / after 3, quiet:2.0.0 ACTIVATED / after 3] => [quiet:1.0.0 Deactivated, quiet:2.0.0 Activated]",
            ),
            (Switch("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Switch biz: quiet:2.0.0 is activated." => Switched"#),
            (
                Query,
                "SUCCESS [quiet:1.0.0 DEACTIVATED / after 3, quiet:2.0.0 ACTIVATED / after 3] => [quiet:1.0.0 Deactivated, quiet:2.0.0 Activated]",
            ),
            (
                Switch("quiet", "3.0.0"),
                r#"FAILED "switch biz not success!" / NOT_FOUND_BIZ "Switch biz: quiet:3.0.0 not found." => NotFound"#,
            ),
            (
                Switch("nobody", "1.0.0"),
                r#"FAILED "switch biz not success!" / NOT_FOUND_BIZ "Switch biz: nobody:1.0.0 not found." => NotFound"#,
            ),
            (Uninstall("quiet", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:1.0.0 success." => Gone"#),
            (Query, "SUCCESS [quiet:2.0.0 ACTIVATED / after 3] => [quiet:2.0.0 Activated]"),
            (
                Install("quiet", "1.0.0", "quiet-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:1.0.0 success" => Installed(Deactivated)"#,
            ),
            (Uninstall("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:2.0.0 success." => Gone"#),
            (Query, "SUCCESS [quiet:1.0.0 DEACTIVATED / after 2] => [quiet:1.0.0 Deactivated]"),
            (
                Install("quiet", "2.0.0", "quiet-2.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:2.0.0 success" => Installed(Activated)"#,
            ),
            (
                Query,
                "SUCCESS [quiet:1.0.0 DEACTIVATED / after 2, quiet:2.0.0 ACTIVATED / after 2] => [quiet:1.0.0 Deactivated, quiet:2.0.0 Activated]",
            ),
            (Uninstall("quiet", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:1.0.0 success." => Gone"#),
            (Uninstall("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:2.0.0 success." => Gone"#),
        ],
    },
    Conversation {
        name: "installs that cannot work leave nothing",
        base: Plain,
        steps: &[
            (
                Install("failing", "1.0.0", "failing-1.0.0"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.lang.reflect.InvocationTargetException" => Rejected("java.lang.IllegalStateException: this module cannot start: it has no price list to work from")"#,
            ),
            (
                Install("failing", "1.0.0", "failing-1.0.0"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.lang.reflect.InvocationTargetException" => Rejected("java.lang.IllegalStateException: this module cannot start: it has no price list to work from")"#,
            ),
            (
                Install("missing", "1.0.0", "missing-1.0.0"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.io.FileNotFoundException: <jars>/missing-1.0.0-ark-biz.jar (No such file or directory)" => Rejected("java.io.FileNotFoundException: <jars>/missing-1.0.0-ark-biz.jar (No such file or directory)")"#,
            ),
            (
                Install("corrupt", "1.0.0", "corrupt-1.0.0"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.util.zip.ZipException: zip END header not found" => Rejected("java.util.zip.ZipException: zip END header not found")"#,
            ),
            (
                Install("far", "1.0.0", "refused"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.net.ConnectException: Connection refused" => Rejected("java.net.ConnectException: Connection refused")"#,
            ),
            (
                Install("far", "1.0.0", "schemeless"),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: java.net.MalformedURLException: no protocol: quiet-1.0.0-ark-biz.jar" => Rejected("java.net.MalformedURLException: no protocol: quiet-1.0.0-ark-biz.jar")"#,
            ),
            (Query, "SUCCESS [] => []"),
        ],
    },
    Conversation {
        name: "the jar's manifest wins",
        base: Plain,
        steps: &[
            (
                Install("misnamed", "1.0.0", "misnamed-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: stranger:9.9.9 success" => WrongIdentity { found: [("stranger", "9.9.9")] }"#,
            ),
            (Query, "SUCCESS [stranger:9.9.9 ACTIVATED / after 2] => [stranger:9.9.9 Activated]"),
            (
                Uninstall("misnamed", "1.0.0"),
                r#"FAILED "uninstall biz not success!" / NOT_FOUND_BIZ "Uninstall biz: misnamed:1.0.0 not found." => Gone"#,
            ),
            (
                Install("misnamed", "1.0.0", "misnamed-1.0.0"),
                r#"FAILED "install biz not success!" / REPEAT_BIZ "Biz: stranger:9.9.9 has been installed or registered." => Rejected("the jar's manifest says stranger:9.9.9, which is on this base already")"#,
            ),
            (
                Install("stranger", "9.9.9", "misnamed-1.0.0"),
                r#"FAILED "install biz not success!" / REPEAT_BIZ "Biz: stranger:9.9.9 has been installed or registered." => AlreadyThere"#,
            ),
            (Uninstall("stranger", "9.9.9"), r#"SUCCESS / SUCCESS "Uninstall biz: stranger:9.9.9 success." => Gone"#),
            (Query, "SUCCESS [] => []"),
        ],
    },
    Conversation {
        name: "an install outlives its client and holds its biz and its event loop",
        base: Plain,
        steps: &[
            (
                HastyInstall("slow", "1.0.0", "slow-1.0.0"),
                r#"nothing => NoAnswer(Unknown("no answer from the agent within 1s"))"#,
            ),
            (Query, "SUCCESS [slow:1.0.0 RESOLVED /slow after 1] => [slow:1.0.0 Resolved]"),
            (
                Install("slow", "1.0.0", "slow-1.0.0"),
                r#"FAILED "FAILED:slow:1.0.0 installBiz conflict, exist unfinished command(installBiz) for this biz" => Conflict"#,
            ),
            (
                Uninstall("slow", "1.0.0"),
                r#"FAILED "FAILED:slow:1.0.0 uninstallBiz conflict, exist unfinished command(installBiz) for this biz" => Conflict"#,
            ),
            // The fifth connection falls on the loop of the first.
            (HastyQuery, r#"nothing => Unknown("no answer from the agent within 1s")"#),
            (Settle, ""),
            (Query, "SUCCESS [slow:1.0.0 ACTIVATED /slow after 2] => [slow:1.0.0 Activated]"),
            (Uninstall("slow", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: slow:1.0.0 success." => Gone"#),
        ],
    },
    Conversation {
        name: "an install holds nothing else",
        base: Plain,
        steps: &[
            (Begin("slow", "1.0.0", "slow-1.0.0"), ""),
            (
                Switch("slow", "1.0.0"),
                r#"FAILED "FAILED:slow:1.0.0 switchBiz conflict, exist unfinished command(installBiz) for this biz" => Conflict"#,
            ),
            (
                Install("quiet", "1.0.0", "quiet-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:1.0.0 success" => Installed(Activated)"#,
            ),
            (
                Query,
                "SUCCESS [quiet:1.0.0 ACTIVATED / after 2, slow:1.0.0 RESOLVED /slow after 1] => [quiet:1.0.0 Activated, slow:1.0.0 Resolved]",
            ),
            (Await, r#"SUCCESS / SUCCESS "Install Biz: slow:1.0.0 success" => Installed(Activated)"#),
            (Uninstall("quiet", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:1.0.0 success." => Gone"#),
            (Uninstall("slow", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: slow:1.0.0 success." => Gone"#),
        ],
    },
    Conversation {
        name: "a download that hangs",
        base: Plain,
        steps: &[
            (
                HastyInstall("hanging", "1.0.0", "hanging"),
                r#"nothing => NoAnswer(Unknown("no answer from the agent within 1s"))"#,
            ),
            (Query, "SUCCESS [] => []"),
            (
                Install("hanging", "1.0.0", "hanging"),
                r#"FAILED "FAILED:hanging:1.0.0 installBiz conflict, exist unfinished command(installBiz) for this biz" => Conflict"#,
            ),
            (
                Uninstall("hanging", "1.0.0"),
                r#"FAILED "FAILED:hanging:1.0.0 uninstallBiz conflict, exist unfinished command(installBiz) for this biz" => Conflict"#,
            ),
            (Release, ""),
            (Wait(Duration::from_secs(1)), ""),
            (
                Uninstall("hanging", "1.0.0"),
                r#"FAILED "uninstall biz not success!" / NOT_FOUND_BIZ "Uninstall biz: hanging:1.0.0 not found." => Gone"#,
            ),
            (Query, "SUCCESS [] => []"),
        ],
    },
    Conversation {
        name: "requests that the client would not send",
        base: Plain,
        steps: &[
            (Post("noSuchCommand", "{}"), r#"CMD_NOT_FOUND "please follow the doc""#),
            (Post("batchInstallBiz", "{}"), r#"CMD_NOT_FOUND "please follow the doc""#),
            (Post("installBiz", "{}"), r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizUrl should not be blank""#),
            (
                Post("installBiz", r#"{"bizName":"quiet","bizUrl":"file:///quiet.jar"}"#),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizName and bizVersion should be both blank or both not blank.""#,
            ),
            (
                Post("installBiz", r#"{"bizVersion":"1.0.0","bizUrl":"file:///quiet.jar"}"#),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizName and bizVersion should be both blank or both not blank.""#,
            ),
            (Post("uninstallBiz", "{}"), r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizName should not be blank""#),
            (
                Post("uninstallBiz", r#"{"bizName":"quiet"}"#),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizVersion should not be blank""#,
            ),
            (Post("switchBiz", "{}"), r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizName should not be blank""#),
            (
                Post("switchBiz", r#"{"bizName":"quiet"}"#),
                r#"CMD_PROCESS_INTERNAL_ERROR "Internal Error: bizVersion should not be blank""#,
            ),
            (
                Raw("GET /queryAllBiz HTTP/1.1\r\nHost: base\r\n\r\n"),
                r#""HTTP/1.1 500 Internal Server Error\r\nContent_Length: 42" "POST http request only supported by arklet""#,
            ),
            (Raw("POST /queryAllBiz HTTP/1.1\r\nHost: base\r\nContent-Length: 1\r\n\r\n{"), "nothing, connection open"),
            (
                Raw("POST /queryAllBiz HTTP/1.1\r\nHost: base\r\nContent-Length: 2\r\n\r\n[]"),
                "nothing, connection open",
            ),
            (
                Raw("POST /queryAllBiz HTTP/1.1\r\nHost: base\r\nContent-Length: 2000000\r\n\r\n{"),
                r#""HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0" "", connection open"#,
            ),
            (
                Raw("nonsense\r\n\r\n"),
                r#""HTTP/1.1 500 Internal Server Error\r\nContent_Length: 42" "POST http request only supported by arklet""#,
            ),
            (Health, r#"SUCCESS => Ok(Health { metaspace: None, base: Some(("sample-base", "1.0.0")) })"#),
            (Query, "SUCCESS [] => []"),
        ],
    },
    Conversation {
        name: "the new version becomes the active one",
        base: ActivateNew,
        steps: &[
            (
                Install("quiet", "1.0.0", "quiet-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:1.0.0 success" => Installed(Activated)"#,
            ),
            (
                Install("quiet", "2.0.0", "quiet-2.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:2.0.0 success" => Installed(Activated)"#,
            ),
            (
                Query,
                "SUCCESS [quiet:1.0.0 DEACTIVATED / after 3, quiet:2.0.0 ACTIVATED / after 2] => [quiet:1.0.0 Deactivated, quiet:2.0.0 Activated]",
            ),
            (Uninstall("quiet", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:1.0.0 success." => Gone"#),
            (Query, "SUCCESS [quiet:2.0.0 ACTIVATED / after 2] => [quiet:2.0.0 Activated]"),
            (
                Install("quiet", "1.0.0", "quiet-1.0.0"),
                r#"SUCCESS / SUCCESS "Install Biz: quiet:1.0.0 success" => Installed(Activated)"#,
            ),
            (Switch("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Switch biz: quiet:2.0.0 is activated." => Switched"#),
            (
                Query,
                "SUCCESS [quiet:1.0.0 DEACTIVATED / after 3, quiet:2.0.0 ACTIVATED / after 4] => [quiet:1.0.0 Deactivated, quiet:2.0.0 Activated]",
            ),
            (Uninstall("quiet", "1.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:1.0.0 success." => Gone"#),
            (Uninstall("quiet", "2.0.0"), r#"SUCCESS / SUCCESS "Uninstall biz: quiet:2.0.0 success." => Gone"#),
        ],
    },
];
