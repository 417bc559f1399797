//! Modules that don't start, take long, or aren't what they are called.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Api, api::ListParams};
use module_controller::api::Module;

use crate::stage::{Deployment, phase_of, play};

/// The status has the last cause of the trace, which is what a developer needs to read.
#[test]
fn a_module_that_cannot_start_says_why() {
    play("failing", async |stage| {
        let failing = Deployment::of("failing", "1.0.0");
        stage.apply(&failing).await;
        let message = stage.message_with(&failing, "it has no price list to work from").await;
        println!("the Module says: {message}");
        assert!(!message.contains("InvocationTargetException"), "{message}");
        let modules = stage.modules("failing").await;
        assert!(modules.iter().all(|found| phase_of(found) != "Available"));
        stage.delete(&failing).await;
    });
}

/// While a base installs something for 8 s, about every fourth question to it hangs. That says nothing about what
/// it runs.
#[test]
fn a_slow_module_becomes_available_and_disturbs_no_other() {
    play("slow", async |stage| {
        let (quiet, slow) = (Deployment::of("quiet", "1.0.0"), Deployment::of("slow", "1.0.0"));
        stage.apply(&quiet).await;
        stage.released(&quiet).await;

        let phases = Arc::new(Mutex::new(BTreeSet::new()));
        let watching = tokio::spawn(note_phases(stage.api(), "quiet", Arc::clone(&phases)));
        stage.apply(&slow).await;
        stage.released(&slow).await;
        watching.abort();
        let phases = phases.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(phases, BTreeSet::from(["Available".to_owned()]), "what the other module went through");
        for base in &stage.bases {
            assert_eq!(base.get("/slow/").await, Ok("started in 8 s".to_owned()), "{}", base.pod);
        }
        stage.delete(&slow).await;
        stage.delete(&quiet).await;
    });
}

async fn note_phases(api: Api<Module>, name: &str, phases: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        let list = api.list(&ListParams::default()).await.expect("a list");
        let of_name = |found: &&Module| found.spec.module.as_ref().is_some_and(|info| info.name == name);
        let found = list.iter().filter(of_name).map(|found| phase_of(found).to_owned());
        phases.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The name in the jar's manifest wins over the one in the command: something that nobody asked for gets installed. It
/// is taken off again, and the status says what the jar calls itself.
#[test]
fn a_jar_that_is_called_otherwise_inside_is_named_and_taken_off() {
    play("misnamed", async |stage| {
        let misnamed = Deployment::of("misnamed", "1.0.0");
        stage.apply(&misnamed).await;
        let message = stage.message_with(&misnamed, "stranger").await;
        println!("the Module says: {message}");
        assert!(message.contains("9.9.9"), "{message}");
        for base in &stage.bases {
            stage.eventually("the stranger is taken off", async || base.list().await.is_empty().then_some(())).await;
        }
        stage.delete(&misnamed).await;
        for base in &stage.bases {
            assert_eq!(base.list().await, [""; 0], "{}", base.pod);
        }
    });
}
