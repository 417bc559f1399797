//! One base, its agent, and the conversation with it: time, the wire with its faults, and the rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{Command, Outcome, State},
    agent::{Agent, Key, Nature, Start},
    user::{Event, Mod, NAMES},
};
use crate::{
    arklet::client::{InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
    domain::{
        policy::UpgradePolicy,
        slot::{Verdict, WishKind},
    },
};

const HEALTH: i64 = 10_000;
const INSTALL_BOUND: i64 = 20_000;
const CALL_BOUND: i64 = 3_000;

/// What differs between worlds.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub strict: bool,
    pub activates_new: bool,
    pub keeps_broken: bool,
    pub without_spring: bool,
    pub foreign: bool,
    /// Percent of the commands that meet a fault.
    pub faults: u32,
}

/// What happens later.
#[derive(Clone, Debug)]
pub enum Fault {
    RestartNoticed,
    Arrives { ticket: u64, took: i64, start: Start },
    Answers { ticket: u64, outcome: Outcome, made_at: i64 },
}

struct Flight {
    command: Command,
    /// The number of the last operation on each name when it was sent.
    marks: BTreeMap<String, u64>,
    answered: bool,
    answer_lost: bool,
}

pub struct World {
    pub setup: Setup,
    pub now: i64,
    pub state: State,
    pub agent: Agent,
    pub modules: Vec<Mod>,
    pub versions: u32,
    pub created: i64,
    pub policies: [UpgradePolicy; 2],
    pub owners: BTreeMap<String, BTreeSet<String>>,
    pub ours: BTreeSet<Key>,
    pub dropped: BTreeSet<Key>,
    pub silent_until: i64,
    pub faults: Vec<(i64, Fault)>,
    flights: BTreeMap<u64, Flight>,
    tickets: u64,
    marks: BTreeMap<String, u64>,
    confirmed_at: BTreeMap<String, i64>,
    commands: Vec<(i64, bool)>,
    empty_turns: u32,
    calm: bool,
    random: u64,
    trace: Vec<String>,
}

type Checked = Result<(), String>;

impl World {
    pub fn new(setup: Setup) -> Self {
        let nature = Nature {
            activates_new: setup.activates_new,
            keeps_broken: setup.keeps_broken,
            without_spring: setup.without_spring,
        };
        let foreign: Vec<Key> = setup.foreign.then(|| ("n".to_owned(), "f".to_owned())).into_iter().collect();
        let policy =
            if setup.strict { UpgradePolicy::UninstallThenInstall } else { UpgradePolicy::InstallThenUninstall };
        Self {
            now: 1_000_000,
            state: State::new("uid", HEALTH, Some(6 * HEALTH)),
            agent: Agent::new(nature, &foreign),
            modules: vec![],
            versions: 0,
            created: 0,
            policies: [policy; 2],
            owners: BTreeMap::new(),
            ours: BTreeSet::new(),
            dropped: BTreeSet::new(),
            silent_until: 0,
            faults: vec![],
            flights: BTreeMap::new(),
            tickets: 0,
            marks: BTreeMap::new(),
            confirmed_at: BTreeMap::new(),
            commands: vec![],
            empty_turns: 0,
            calm: false,
            random: setup.seed | 1,
            trace: vec![],
            setup,
        }
    }

    pub fn note(&mut self, line: String) {
        self.trace.push(format!("{:>9} {line}", self.now - 1_000_000));
    }

    pub fn trace(&self) -> String {
        self.trace.join("\n")
    }

    fn roll(&mut self, below: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from((self.random >> 33) % u64::from(below.max(1))).unwrap_or(0)
    }

    fn roll_ms(&mut self, below: u32) -> i64 {
        i64::from(self.roll(below)) + 1
    }

    /// Events with the time that passes after each, then calm, then silence.
    pub fn live_through(&mut self, events: &[(Event, i64)]) -> Checked {
        for (event, pause) in events {
            self.happen(event);
            let until = self.now + pause;
            self.run_until(until)?;
        }
        self.note("calm".to_owned());
        self.calm = true;
        let spent = i64::try_from(self.commands.len()).unwrap_or(i64::MAX);
        let allowed = 40 + 20 * i64::try_from(events.len()).unwrap_or(0) + (self.now - 1_000_000) / 250;
        check(spent <= allowed, || format!("{spent} commands, {allowed} would do"))?;
        self.run_until(self.now + 900_000)?;
        self.check_end()?;
        let before = self.commands.len();
        self.run_until(self.now + 100_000)?;
        let since = &self.commands[before..];
        check(since.iter().all(|(_, question)| *question), || "commands after the end".to_owned())?;
        check(since.len() <= 14, || format!("{} questions in 100 s", since.len()))
    }

    fn run_until(&mut self, until: i64) -> Checked {
        loop {
            self.settle()?;
            let deadline = self.state.deadline(self.now);
            let faults = self.faults.iter().map(|(at, _)| *at).min();
            let other = [faults, self.agent.next_end(), self.next_drain()].into_iter().flatten().min();
            let next = deadline.min(other.unwrap_or(i64::MAX)).max(self.now);
            if next > until {
                self.now = until;
                return Ok(());
            }
            let alone = other.is_none_or(|other| other > next) && next == deadline;
            self.empty_turns = if alone && next - self.now < 50 { self.empty_turns + 1 } else { 0 };
            check(self.empty_turns < 6, || "the deadline comes and nothing is to be done".to_owned())?;
            self.now = next;
            for (ticket, outcome) in self.agent.advance(next) {
                self.finished(ticket, outcome);
            }
            self.due();
        }
    }

    /// Everything that can be done at this moment.
    fn settle(&mut self) -> Checked {
        loop {
            self.look_around()?;
            self.control();
            self.look_around()?;
            let commands = self.state.next(self.now);
            self.hear_news()?;
            if commands.is_empty() {
                return Ok(());
            }
            self.empty_turns = 0;
            for command in commands {
                self.send(command)?;
            }
        }
    }

    /// Whoever waits for the news knows how things stand.
    fn hear_news(&mut self) -> Checked {
        let news = self.state.news(self.now);
        for index in 0..self.modules.len() {
            let (slot, id) = (self.modules[index].slot, self.modules[index].wish.module.clone());
            let told = self.state.report(slot, &id, self.now).map(|told| (told.verdict, told.silent_since.is_some()));
            if news.contains(&id) {
                self.modules[index].heard = told.clone();
            }
            let heard = &self.modules[index].heard;
            check(*heard == told, || format!("{id} heard {heard:?}, and it is {told:?}"))?;
        }
        Ok(())
    }

    fn send(&mut self, command: Command) -> Checked {
        self.note(format!("-> {command:?}"));
        self.commands.push((self.now, command.name().is_none()));
        let rivals = self.flights.values().filter(|flight| !flight.answered);
        let same = |flight: &&Flight| match command.name() {
            Some(name) => flight.command.name() == Some(name),
            None => flight.command == command,
        };
        check(!rivals.clone().any(|flight| same(&flight)), || format!("two at once: {command:?}"))?;
        let is_install = |command: &Command| matches!(command, Command::Install { .. });
        let installing = rivals.filter(|flight| is_install(&flight.command)).count();
        check(installing == 0 || !is_install(&command), || "two installs at once".to_owned())?;
        if let Command::Uninstall { name, version } = &command {
            check(self.may_uninstall(name, version), || format!("uninstalls {name}:{version}"))?;
        }
        self.touch(command.name());
        self.tickets += 1;
        let ticket = self.tickets;
        let bound = if is_install(&command) { INSTALL_BOUND } else { CALL_BOUND };
        let wire = self.roll_ms(20);
        let took = match self.roll(20) {
            0 if !self.calm => self.roll_ms(40_000),
            1..=4 => self.roll_ms(3_000),
            _ => self.roll_ms(60),
        };
        let faulty = !self.calm && (self.roll(100) < self.setup.faults || self.now < self.silent_until);
        let start = if faulty && self.roll(3) == 0 { Start::Fails } else { Start::Fine };
        let unknown = no_outcome(&command, NoAnswer::Unknown("no answer in time".to_owned()));
        let not_sent = no_outcome(&command, NoAnswer::NotSent("refused".to_owned()));
        let (mut arrives, mut answer_lost, mut given_up) = (Some(wire), false, Some((bound, unknown)));
        match if faulty { self.roll(6) } else { 9 } {
            0 => (arrives, given_up) = (None, Some((self.roll_ms(2_000), not_sent))),
            1 => arrives = None,
            2 => answer_lost = true,
            3 if !is_install(&command) => arrives = Some(bound + self.roll_ms(5_000)),
            _ if self.now < self.silent_until => arrives = None,
            _ => {}
        }
        if let Some(after) = arrives {
            self.faults.push((self.now + after, Fault::Arrives { ticket, took, start }));
        }
        if let Some((after, outcome)) = given_up.take() {
            let at = self.now + after;
            self.faults.push((at, Fault::Answers { ticket, outcome, made_at: at }));
        }
        let marks = self.marks.clone();
        self.flights.insert(ticket, Flight { command, marks, answered: false, answer_lost });
        Ok(())
    }

    fn touch(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            *self.marks.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// What ran in a container that was restarted is answered by nobody; what was under way finds an empty base.
    pub fn cut_off(&mut self) {
        for flight in self.flights.values_mut() {
            flight.answer_lost = true;
        }
        self.faults.retain(|(_, fault)| !matches!(fault, Fault::Arrives { .. }));
    }

    fn due(&mut self) {
        let now = self.now;
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.faults).into_iter().partition(|f| f.0 <= now);
        self.faults = later;
        due.sort_by_key(|(at, _)| *at);
        for (_, fault) in due {
            match fault {
                Fault::RestartNoticed => {
                    self.note("restart noticed".to_owned());
                    self.state.restarted();
                    for name in NAMES {
                        self.touch(Some(name));
                    }
                }
                Fault::Arrives { ticket, took, start } => {
                    let Some(command) = self.flights.get(&ticket).map(|flight| flight.command.clone()) else {
                        continue;
                    };
                    if let Some(outcome) = self.agent.arrive(ticket, &command, took, start, now) {
                        self.finished(ticket, outcome);
                    }
                }
                Fault::Answers { ticket, outcome, made_at } => self.answer(ticket, outcome, made_at),
            }
        }
    }

    /// The agent is done with a command: its answer is on the way, or lost.
    fn finished(&mut self, ticket: u64, outcome: Outcome) {
        let wire = self.roll_ms(20);
        let lost = self.flights.get(&ticket).is_none_or(|flight| flight.answered || flight.answer_lost);
        if !lost {
            let made_at = self.now;
            self.faults.push((self.now + wire, Fault::Answers { ticket, outcome, made_at }));
        }
    }

    fn answer(&mut self, ticket: u64, outcome: Outcome, made_at: i64) {
        let Some(flight) = self.flights.get_mut(&ticket).filter(|flight| !flight.answered) else {
            return;
        };
        flight.answered = true;
        let (command, marks) = (flight.command.clone(), flight.marks.clone());
        self.note(format!("<- {command:?} {outcome:?}"));
        match &outcome {
            Outcome::Looked(Ok(_)) => {
                for name in NAMES {
                    let busy = self.flights.values().any(|f| !f.answered && f.command.name() == Some(name));
                    if !busy && marks.get(name) == self.marks.get(name) {
                        self.confirmed_at.insert(name.to_owned(), made_at);
                    }
                }
            }
            Outcome::Installed(InstallOutcome::Installed(_)) | Outcome::Switched(SwitchOutcome::Switched) => {
                self.confirmed_at.insert(command.name().unwrap_or_default().to_owned(), made_at);
            }
            _ => {}
        }
        self.touch(command.name());
        self.state.done(&command, outcome, self.now);
    }

    /// What every Module is told, and the rules.
    fn look_around(&mut self) -> Checked {
        for index in 0..self.modules.len() {
            let (slot, id) = (self.modules[index].slot, self.modules[index].wish.module.clone());
            let told = self.state.report(slot, &id, self.now).map(|told| told.verdict);
            if told != self.modules[index].verdict {
                self.note(format!("{id} {told:?}"));
                self.modules[index].verdict = told;
            }
            self.check_verdict(&self.modules[index])?;
        }
        for name in NAMES {
            let ours = self.agent.versions(name).into_iter().map(|(version, _)| (name.to_owned(), version.to_owned()));
            let ours = ours.filter(|key| self.ours.contains(key) && !self.dropped.contains(key)).count();
            let most = if self.setup.strict { 1 } else { 2 };
            check(ours <= most, || format!("S1: {:?}", self.agent.versions(name)))?;
            let foreign = self.agent.versions(name).iter().any(|(version, _)| *version == "f");
            check(foreign || name != "n" || !self.setup.foreign || self.restarted(), || "foreign gone".to_owned())?;
        }
        Ok(())
    }

    fn restarted(&self) -> bool {
        self.trace.iter().any(|line| line.contains("Restart"))
    }

    fn check_verdict(&self, module: &Mod) -> Checked {
        let key = (module.slot.to_owned(), module.wish.version.clone());
        match module.verdict {
            Some(Verdict::Active) => {
                let last = self.agent.last_active(&key, self.now);
                let since = self.confirmed_at.get(module.slot).copied();
                check(last >= since && last.is_some(), || format!("{} isn't active", module.wish.module))
            }
            Some(Verdict::Released) => {
                let wanted = self.modules.iter().any(|other| {
                    other.slot == module.slot
                        && (other.wish.owner != module.wish.owner
                            || other.wish.version == module.wish.version && other.wish.kind == WishKind::Run)
                });
                let coming = self.faults.iter().any(|(_, fault)| match fault {
                    Fault::Arrives { ticket, .. } => self.flights.get(ticket).is_some_and(|flight| {
                        matches!(&flight.command, Command::Install { name, version, .. }
                            if *name == key.0 && *version == key.1)
                    }),
                    _ => false,
                });
                let left = self.agent.has_or_installs(&key) || coming;
                check(wanted || !left, || format!("{} is released and still there", module.wish.module))
            }
            _ => Ok(()),
        }
    }

    fn check_end(&self) -> Checked {
        for name in NAMES {
            let here: Vec<&Mod> = self.modules.iter().filter(|module| module.slot == name).collect();
            let contested = |module: &&Mod| matches!(module.verdict, Some(Verdict::Contested(_)));
            let Some(holder) = here.iter().find(|module| !contested(module)) else {
                check(here.is_empty(), || "everybody waits for somebody".to_owned())?;
                continue;
            };
            let versions = self.agent.versions(name);
            let strange = |version: &&str| !self.owners[&holder.wish.owner].contains(*version);
            if versions.iter().any(|(version, _)| strange(version)) {
                continue;
            }
            for module in here.iter().filter(|module| !contested(module)) {
                let fine = module.wish.kind == WishKind::Run && module.verdict == Some(Verdict::Active);
                check(fine, || format!("at the end {} is {:?}", module.wish.module, module.verdict))?;
            }
            check(versions.len() == 1, || format!("at the end there are {versions:?}"))?;
        }
        let left = |key: &&Key| self.agent.has_or_installs(key) && !self.dropped.contains(*key);
        let wanted = |key: &&Key| self.modules.iter().any(|m| m.slot == key.0 && m.wish.version == key.1);
        let leaked = self.ours.iter().find(|key| left(key) && !wanted(key));
        check(leaked.is_none(), || format!("nobody wants {leaked:?}"))
    }
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

fn no_outcome(command: &Command, no_answer: NoAnswer) -> Outcome {
    match command {
        Command::Look => Outcome::Looked(Err(no_answer)),
        Command::Health => Outcome::Health(Err(no_answer)),
        Command::Install { .. } => Outcome::Installed(InstallOutcome::NoAnswer(no_answer)),
        Command::Uninstall { .. } => Outcome::Uninstalled(UninstallOutcome::NoAnswer(no_answer)),
        Command::Switch { .. } => Outcome::Switched(SwitchOutcome::NoAnswer(no_answer)),
    }
}
