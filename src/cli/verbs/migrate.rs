//! `migrate`: what the Go V1 left, shown and converted.

use std::io::{BufRead, IsTerminal, Write};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::{Stdout, leaders, objects, stdout::remark};
use crate::{
    api::keys,
    cli::{
        args::Global,
        cluster::Cluster,
        error::Error,
        migrate::{
            Risk, Row, Seen, plan, running,
            step::{Step, Target, guarded},
            takeover::{self, Mend},
        },
        output::{Cell, Look, Table, Tone},
        validate::check::OLD_GROUPS,
    },
    runtime::predecessor::plan::queries,
};

/// How often is read and written before it is given up; a conversion needs five.
const ROUNDS: usize = 12;
/// Kinds of V1's that are read.
const KINDS: [&str; 3] = ["ModuleDeployment", "ModuleReplicaSet", "Module"];

/// Options of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`kubectl module migrate plan -A` changes nothing; docs/migration.md says what to do in which order.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what V1 left, and what becomes of it
    Plan(Plan),
    /// Convert what is of V1's former groups, and mend what is asked for
    #[command(after_help = "\
Scale V1 and this operator to zero before, and this operator up again after. Nothing is installed or uninstalled by it; it
may be interrupted and repeated.

Examples:
  kubectl module migrate plan -A
  kubectl module migrate apply -A
  kubectl module migrate apply -n shop --yes --mend peer,policy")]
    Apply(Apply),
}

#[derive(Debug, clap::Args)]
struct Scope {
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Convert also what V1 was told to delete and didn't
    #[arg(long)]
    deleted_too: bool,
}

#[derive(Debug, clap::Args)]
struct Plan {
    #[command(flatten)]
    scope: Scope,
    /// How it is shown: table or json
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    output: Shown,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    /// A table
    #[default]
    Table,
    /// JSON; fields are added, never renamed or removed
    Json,
}

#[derive(Debug, clap::Args)]
struct Apply {
    #[command(flatten)]
    scope: Scope,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Mend this too: peer (replicas -1 where V1 overwrote it), policy (upgrade policies by the names that are read),
    /// max-module-count (the present label beside the former one on base pods)
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT", hide_possible_values = true)]
    mend: Vec<Mend>,
    /// Don't look whether a controller runs; for who may not list Deployments in all namespaces
    #[arg(long)]
    controllers_are_stopped: bool,
}

/// Runs `plan` or `apply`.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    match &args.action {
        Action::Plan(plan) => show(&cluster, plan).await,
        Action::Apply(apply) => convert(&cluster, apply).await,
    }
}

impl Scope {
    fn namespace<'a>(&self, cluster: &'a Cluster) -> Option<&'a str> {
        (!self.all_namespaces).then_some(cluster.namespace.as_str())
    }

    /// What is to be converted, and behind it what is worth knowing; how many of the rows are conversions.
    async fn rows(&self, cluster: &Cluster, mend: &[Mend]) -> Result<(Vec<Row>, usize), Error> {
        let seen = look(cluster, self.namespace(cluster)).await?;
        let mut rows = plan::rows(&seen, plan::Wish { deleted_too: self.deleted_too });
        let conversions = rows.len();
        rows.extend(takeover::rows(&seen, mend));
        Ok((rows, conversions))
    }
}

async fn show(cluster: &Cluster, args: &Plan) -> Result<(), Error> {
    let (rows, _) = args.scope.rows(cluster, &[]).await?;
    let out = Stdout::new();
    if args.output == Shown::Json {
        let row = |row: &Row| {
            json!({
                "namespace": row.namespace, "object": row.object, "found": row.found, "does": row.does,
                "risk": row.risk.word(), "steps": row.steps.iter().map(Step::describe).collect::<Vec<_>>(),
            })
        };
        return out.print_json(&json!({ "items": rows.iter().map(row).collect::<Vec<_>>() }));
    }
    if rows.is_empty() {
        remark("There is nothing to migrate.");
        return Ok(());
    }
    out.print(&table(&rows, &out))
}

fn table(rows: &[Row], out: &Stdout) -> String {
    let mut table = Table::new(&["NAMESPACE", "OBJECT", "FOUND", "RISK", "WHAT BECOMES OF IT"]);
    for row in rows {
        let tone = match row.risk {
            Risk::None => Tone::Good,
            Risk::Look => Tone::Busy,
            Risk::Blocked => Tone::Bad,
        };
        table.row(vec![
            row.namespace.as_str().into(),
            row.object.as_str().into(),
            row.found.as_str().into(),
            Cell::new(row.risk.word(), tone),
            row.does.as_str().into(),
        ]);
    }
    // A plan that is cut short is none.
    table.render(&Look { width: None, ..out.look })
}

async fn convert(cluster: &Cluster, args: &Apply) -> Result<(), Error> {
    let out = Stdout::new();
    let (rows, conversions) = args.scope.rows(cluster, &args.mend).await?;
    let writes = |rows: &[Row]| rows.iter().any(|row| !row.steps.is_empty());
    if !writes(&rows) {
        if !rows.is_empty() {
            out.print(&table(&rows, &out))?;
        }
        remark("There is nothing to do.");
        return blocked(&rows);
    }
    // Mending alone may be done while the operator works.
    if writes(&rows[..conversions]) && !args.controllers_are_stopped {
        nobody_works(cluster).await?;
    }
    if !args.yes {
        out.print(&table(&rows, &out))?;
        confirmed()?;
    }
    for _ in 0..ROUNDS {
        let (rows, _) = args.scope.rows(cluster, &args.mend).await?;
        if !writes(&rows) {
            return blocked(&rows);
        }
        for step in rows.iter().flat_map(|row| &row.steps) {
            write(cluster, step).await?;
            out.print(&format!("{}\n", step.describe()))?;
        }
    }
    Err(Error::Refused("somebody else changes these objects meanwhile; stop every controller and try again".to_owned()))
}

fn blocked(rows: &[Row]) -> Result<(), Error> {
    let blocked: Vec<String> = rows
        .iter()
        .filter(|row| row.risk == Risk::Blocked)
        .map(|row| format!("{} in {}: {}", row.object, row.namespace, row.does))
        .collect();
    if blocked.is_empty() { Ok(()) } else { Err(Error::Refused(blocked.join("\n"))) }
}

fn confirmed() -> Result<(), Error> {
    let (mut keyboard, mut screen) = (std::io::stdin().lock(), std::io::stderr());
    if !keyboard.is_terminal() || !screen.is_terminal() {
        return Err(Error::Usage("nobody can be asked here; add --yes if all of this is to be done".to_owned()));
    }
    write!(screen, "Do all of this? [y/N] ")?;
    let mut answer = Vec::new();
    keyboard.read_until(b'\n', &mut answer)?;
    if answer.last() != Some(&b'\n') {
        // Ctrl-D leaves the cursor behind the question.
        writeln!(screen)?;
    }
    let answer = String::from_utf8_lossy(&answer);
    let yes = ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes));
    if yes { Ok(()) } else { Err(Error::Refused("nothing was done".to_owned())) }
}

/// Refuses while a controller runs anywhere: V1 would uninstall what is deleted, ours install what isn't there yet.
async fn nobody_works(cluster: &Cluster) -> Result<(), Error> {
    let deployments: Vec<Deployment> = cluster.list(None, None).await.map_err(unseen)?;
    if let Some(first) = running::deployments(&deployments).first() {
        let (namespace, name) = first.split_once('/').unwrap_or_default();
        return Err(Error::Refused(format!(
            "the controller {first} runs; scale it to zero with \
             `kubectl scale deployment {name} -n {namespace} --replicas=0`, wait for its pods to end, and try again"
        )));
    }
    let mut pods = Vec::new();
    for query in queries() {
        let (labels, fields) = (query.label_selector.as_deref(), query.field_selector.as_deref());
        pods.extend(cluster.list_where::<Pod>(None, labels, fields).await.map_err(unseen)?);
    }
    if let Some(first) = running::pods(&pods).first() {
        return Err(Error::Refused(format!("a controller runs in pod {first}; stop what has it and try again")));
    }
    match leaders::leader(cluster).await.map_err(unseen)? {
        Some(leader) => Err(Error::Refused(format!("a controller leads by the Lease {leader}; stop it and try again"))),
        None => Ok(()),
    }
}

fn unseen(error: Error) -> Error {
    Error::Refused(format!(
        "whether a controller runs can't be seen: {error}; if you made sure that none runs, add --controllers-are-stopped"
    ))
}

/// All that a plan looks at.
async fn look(cluster: &Cluster, namespace: Option<&str>) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    for group in OLD_GROUPS {
        for kind in KINDS {
            seen.old.extend(list(cluster, namespace, group, keys::VERSION, kind).await?);
        }
    }
    for kind in KINDS {
        seen.new.extend(list(cluster, namespace, keys::GROUP, keys::VERSION, kind).await?);
    }
    let pods = list(cluster, namespace, "", "v1", "Pod").await?;
    seen.pods = pods.into_iter().filter(may_be_a_base).collect();
    seen.services = list(cluster, namespace, "", "v1", "Service").await?;
    Ok(seen)
}

/// A pod that one of V1's labels is on.
fn may_be_a_base(pod: &Value) -> bool {
    let labels = pod["metadata"]["labels"].as_object();
    labels.is_some_and(|labels| {
        labels.keys().any(|key| key == "maxModuleCount" || OLD_GROUPS.iter().any(|old| key.contains(old)))
    })
}

/// All objects of a kind; none where the cluster doesn't know the kind.
async fn list(
    cluster: &Cluster,
    namespace: Option<&str>,
    group: &str,
    version: &str,
    kind: &str,
) -> Result<Vec<Value>, Error> {
    match objects::list(cluster, namespace, &GroupVersionKind::gvk(group, version, kind), "").await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        found => found.map_err(|error| Error::of(format!("list objects of kind {kind} of {group:?}"), error)),
    }
}

async fn write(cluster: &Cluster, step: &Step) -> Result<(), Error> {
    let failed = |error| Error::of(step.describe(), error);
    let of = |target: &Target| {
        let (group, version) = target.api_version.split_once('/').unwrap_or(("", &target.api_version));
        objects::api(cluster, Some(&target.namespace), &GroupVersionKind::gvk(group, version, &target.kind))
    };
    match step {
        Step::Create(object) => {
            let object: DynamicObject = serde_json::from_value((**object).clone()).map_err(std::io::Error::other)?;
            let target = Target::ours(&serde_json::to_value(&object).map_err(std::io::Error::other)?);
            // An answer that was lost is no reason to fail: the next round looks whose it is.
            match of(&target).create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                done => done.map(|_| ()).map_err(failed),
            }
        }
        Step::Patch(target, patch) => {
            let patch = Patch::Merge(guarded(target, patch));
            let patched = of(target).patch(&target.name, &PatchParams::default(), &patch).await;
            patched.map(|_| ()).map_err(failed)
        }
        Step::Status(target, status) => {
            let patch = guarded(target, &json!({ "status": status }));
            let patched = of(target).patch_status(&target.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            patched.map(|_| ()).map_err(failed)
        }
        Step::Delete(target) => {
            let preconditions = Preconditions { uid: Some(target.uid.clone()), resource_version: None };
            let params = DeleteParams::background().preconditions(preconditions);
            match of(target).delete(&target.name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                done => done.map(|_| ()).map_err(failed),
            }
        }
    }
}
