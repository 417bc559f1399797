//! The values that labels may have. Adding one is a deliberate step: it adds series for good.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Declares a label's values: the enum, its list in the order of the variants, and the text of each.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The value as a scrape shows it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
                encoder.write_str(self.as_str())
            }
        }
    };
}

label! {
    /// Which controller reconciled.
    Controller {
        /// ModuleDeployment.
        ModuleDeployment => "moduledeployment",
        /// ModuleReplicaSet.
        ModuleReplicaSet => "modulereplicaset",
        /// Module.
        Module => "module",
        /// The Services of ModuleDeployments.
        Service => "service",
        /// Base pods.
        Base => "base",
        /// Virtual nodes.
        VNode => "vnode",
    }
}

label! {
    /// How a reconcile ended.
    ReconcileResult {
        /// Nothing left to do until something changes.
        Settled => "settled",
        /// Waits for a known moment.
        Waiting => "waiting",
        /// Failed and will be tried again.
        Retry => "retry",
        /// Failed in a way that only a change can cure.
        Rejected => "rejected",
        /// Cut off by its time limit.
        Timeout => "timeout",
    }
}

label! {
    /// What was written.
    ApiResource {
        /// ModuleDeployment.
        ModuleDeployment => "moduledeployments",
        /// ModuleReplicaSet.
        ModuleReplicaSet => "modulereplicasets",
        /// Module.
        Module => "modules",
        /// Service.
        Service => "services",
        /// Pod.
        Pod => "pods",
        /// Node.
        Node => "nodes",
        /// Lease.
        Lease => "leases",
        /// Deployment.
        Deployment => "deployments",
        /// Event.
        Event => "events",
    }
}

label! {
    /// How it was written.
    ApiVerb {
        /// A new object.
        Create => "create",
        /// The whole object anew.
        Update => "update",
        /// A part of the object.
        Patch => "patch",
        /// The status subresource.
        Status => "status",
        /// A deletion.
        Delete => "delete",
    }
}

label! {
    /// What the API server said.
    ApiResult {
        /// Done.
        Ok => "ok",
        /// The object had changed or was there already.
        Conflict => "conflict",
        /// There is no such object.
        NotFound => "not_found",
        /// Not permitted.
        Forbidden => "forbidden",
        /// Refused by the schema or a policy.
        Invalid => "invalid",
        /// Asked to come back later.
        Throttled => "throttled",
        /// No answer in time.
        Timeout => "timeout",
        /// Anything else.
        Error => "error",
    }
}

label! {
    /// What an agent was asked.
    AgentCommand {
        /// Install a module.
        Install => "install",
        /// Uninstall a module.
        Uninstall => "uninstall",
        /// Switch to another version.
        Switch => "switch",
        /// List all modules.
        QueryAll => "query_all",
        /// Ask for one module.
        Query => "query",
        /// Ask how the base is.
        Health => "health",
    }
}

label! {
    /// What came of it.
    AgentOutcome {
        /// Done.
        Ok => "ok",
        /// The agent said no.
        Failed => "failed",
        /// The agent was busy with the same module.
        Conflict => "conflict",
        /// Not reached: certainly not done.
        Unreachable => "unreachable",
        /// No answer, or an unreadable one: perhaps done.
        Unknown => "unknown",
    }
}

impl AgentCommand {
    /// The command behind the agent's own word for it.
    pub fn of(word: &str) -> Self {
        match word {
            "installBiz" => Self::Install,
            "uninstallBiz" => Self::Uninstall,
            "switchBiz" => Self::Switch,
            "health" => Self::Health,
            _ => Self::QueryAll,
        }
    }
}

impl AgentOutcome {
    /// The outcome behind a conversation's word for it.
    pub fn of(word: &str) -> Self {
        match word {
            "success" => Self::Ok,
            "conflict" => Self::Conflict,
            "failed" => Self::Failed,
            "not_sent" => Self::Unreachable,
            _ => Self::Unknown,
        }
    }
}

label! {
    /// State of a virtual node.
    VNodeState {
        /// Held by this process, and Ready.
        Ready => "ready",
        /// Held by this process; its base doesn't answer.
        NotReady => "not_ready",
        /// Held by another process, or by none yet.
        Standby => "standby",
    }
}

label! {
    /// State of a pod on a virtual node of this process.
    VPodState {
        /// All its modules are active.
        Ready => "ready",
        /// They aren't.
        NotReady => "not_ready",
        /// It is being deleted.
        Terminating => "terminating",
    }
}

label! {
    /// Phase of a Module, as its status says.
    Phase {
        /// Not bound to a base yet.
        Pending => "pending",
        /// About to be installed.
        Prepare => "prepare",
        /// Being installed.
        Upgrading => "upgrading",
        /// Active, not yet for long enough.
        Completing => "completing",
        /// Serving.
        Available => "available",
        /// Being removed.
        Terminating => "terminating",
    }
}

label! {
    /// State of a base pod.
    BaseState {
        /// Takes modules.
        Eligible => "eligible",
        /// Takes no more modules.
        Full => "full",
        /// The pod isn't ready, or its node takes no pods.
        NotReady => "not_ready",
        /// The agent doesn't answer.
        Unreachable => "unreachable",
        /// The pod is being deleted.
        Terminating => "terminating",
    }
}

label! {
    /// A statistic over the pods of a base Deployment.
    BaseStat {
        /// Fewest modules on one pod.
        Min => "min",
        /// Modules a pod on average.
        Average => "average",
        /// Most modules on one pod.
        Max => "max",
        /// All modules, those that wait for a base included: divided by how many a base shall have, the bases needed.
        Wanted => "wanted",
    }
}

label! {
    /// Why a module finds no base.
    WaitReason {
        /// The base Deployment has no pods.
        NoBases => "no_bases",
        /// They aren't ready.
        NotReady => "not_ready",
        /// They are being deleted.
        Terminating => "terminating",
        /// Their nodes take no pods.
        Cordoned => "cordoned",
        /// They take no more modules.
        Full => "full",
        /// Their JVMs have too little metaspace left.
        Metaspace => "metaspace",
        /// They have a foreign module of that name.
        Taken => "taken",
        /// They have the module already.
        HasModule => "has_module",
    }
}
