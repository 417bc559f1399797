//! What was there when a scenario failed.

use std::process::Stdio;

use tokio::process::Command;

use super::World;

impl World {
    /// Prints the objects of the namespace and the lists of its bases.
    pub(super) async fn report(&self) {
        let mut report = format!("--- left in namespace {}\n", self.namespace());
        let kinds = "mddeploy,mdrs,md,deployments,pods,services,endpointslices,hpa";
        report += &self.shown(&["get", kinds, "-o", "wide", "--show-labels"]).await;
        let status = "jsonpath={range .items[*]}{.kind} {.metadata.name} {.status}{\"\\n\"}{end}";
        report += &self.shown(&["get", "mddeploy,mdrs,md,hpa", "-o", status]).await;
        report += &self.shown(&["get", "events", "--sort-by=.metadata.creationTimestamp"]).await;
        let addresses = self.addresses().clone();
        for ip in addresses {
            let base = self.sim().base(ip);
            report += &format!("base {ip}: {:?}\n", base.list());
            for call in base.calls().iter().filter(|call| call.at >= self.inner.began) {
                report += &format!("  {:?} {:?} {}:{}\n", call.at, call.command, call.name, call.version);
            }
        }
        eprintln!("{report}--- end of namespace {}", self.namespace());
    }

    /// What `kubectl` prints, its complaints included.
    async fn shown(&self, args: &[&str]) -> String {
        let output =
            Command::new("kubectl").args(["-n", self.namespace()]).args(args).stdin(Stdio::null()).output().await;
        match output {
            Ok(output) => {
                String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
            }
            Err(error) => format!("kubectl: {error}\n"),
        }
    }
}
