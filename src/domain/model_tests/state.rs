//! What a state of the model is: everything that outlives the operator, as small as it goes.
//!
//! Bases are interchangeable, so a state keeps them sorted: states that differ only in which base is which are one.
//! Nothing is decided here, and nothing of the operator's memory may be kept here: it is what a restart forgets.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::domain::policy::UpgradePolicy;

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
    /// The time that it owes is over: `minReadySeconds` for one that is active, the drain for one that leaves.
    pub past: bool,
    /// Its status has said that it was active; only kept where there is a drain.
    pub noted: bool,
    /// It has had traffic; only kept where there is a drain.
    pub served: bool,
}

/// Bits for each version.
const WIDTH: usize = 8;
const MASK: u32 = (1 << WIDTH) - 1;

/// A base pod: some bits for each version, and a few of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base(u32);

/// A bit of a base that isn't about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Flag {
    /// It is being deleted.
    Ending = 1 << 31,
    /// The user has labelled it `delete-pod`.
    Emptied = 1 << 30,
    /// It isn't Ready.
    Unready = 1 << 29,
    /// It carries the traffic label.
    Labelled = 1 << 28,
}

impl Base {
    pub fn place(self, version: usize) -> Place {
        let bits = self.0 >> (WIDTH * version);
        Place {
            here: bits & 1 != 0,
            leaving: bits & 2 != 0,
            available: bits & 4 != 0,
            installed: bits & 8 != 0,
            active: bits & 16 != 0,
            past: bits & 32 != 0,
            noted: bits & 64 != 0,
            served: bits & 128 != 0,
        }
    }

    pub fn put(&mut self, version: usize, place: Place) {
        let bits = u32::from(place.here)
            | u32::from(place.leaving) << 1
            | u32::from(place.available) << 2
            | u32::from(place.installed) << 3
            | u32::from(place.active) << 4
            | u32::from(place.past) << 5
            | u32::from(place.noted) << 6
            | u32::from(place.served) << 7;
        self.0 = (self.0 & !(MASK << (WIDTH * version))) | (bits << (WIDTH * version));
    }

    pub fn with(mut self, version: usize, place: Place) -> Self {
        self.put(version, place);
        self
    }

    pub fn is(self, flag: Flag) -> bool {
        self.0 & flag as u32 != 0
    }

    pub fn set(&mut self, flag: Flag, on: bool) {
        self.0 = if on { self.0 | flag as u32 } else { self.0 & !(flag as u32) };
    }

    pub fn is_ending(self) -> bool {
        self.is(Flag::Ending)
    }

    /// Whether it isn't about to go.
    pub fn stays(self) -> bool {
        !self.is_ending() && !self.is(Flag::Emptied)
    }

    /// Whether it may get something new.
    pub fn is_open(self) -> bool {
        self.stays() && !self.is(Flag::Unready)
    }

    /// What placement sees of it.
    pub fn for_placement(self) -> Self {
        let flags = Flag::Ending as u32 | Flag::Emptied as u32 | Flag::Unready as u32;
        let places = (0..VERSIONS).fold(0, |mask, version| mask | 0b111 << (WIDTH * version));
        Self(self.0 & (flags | places))
    }

    pub fn has_any(self) -> bool {
        self.0 & (1 | 1 << WIDTH | 1 << (2 * WIDTH)) != 0
    }

    pub fn places(self) -> impl Iterator<Item = (usize, Place)> {
        (0..VERSIONS).map(move |version| (version, self.place(version))).filter(|(_, place)| place.here)
    }

    /// Whether some version is available here, and neither it nor the base is about to go. So is one that stands by while
    /// the version `soaks` has yet to become it.
    pub fn serves(self, soaks: Option<usize>) -> bool {
        if self.is_ending() || !self.has_any() {
            return false;
        }
        let soaking = soaks.is_some_and(|version| self.place(version).active);
        let stands_by = |place: Place| soaking && place.installed && !place.active;
        self.places().any(|(_, place)| !place.leaving && (place.available || stands_by(place)))
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
            let words = [(place.available, " available"), (place.leaving, " leaving"), (place.past, " past")];
            let words: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            format!("v{}{words} ({biz})", version + 1)
        };
        let flags = [(Flag::Ending, "ending: "), (Flag::Emptied, "delete-pod: "), (Flag::Unready, "not ready: ")];
        let flags: String = flags.iter().filter(|(flag, _)| self.is(*flag)).map(|(_, word)| *word).collect();
        let all: Vec<String> = self.places().map(one).collect();
        let label = if self.is(Flag::Labelled) { "*" } else { "" };
        write!(f, "[{flags}{}{label}]", all.join(", "))
    }
}

/// `operationStrategy`, as far as it says how a release goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    pub policy: UpgradePolicy,
    pub batches: u8,
    pub beta: bool,
    pub confirm: bool,
    pub gray: bool,
    pub max_unavailable: u8,
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.beta, " beta"), (self.confirm, " confirm"), (self.gray, " gray")];
        let words: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        write!(f, "{} in {}{words}, {} unavailable", self.policy.as_str(), self.batches, self.max_unavailable)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub bases: Vec<Base>,
    pub sets: [Set; VERSIONS],
    pub status: Status,
    pub terms: Terms,
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

/// What differs most between states, in few words: hashing takes a good part of the time.
impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for base in &self.bases {
            state.write_u32(base.0);
        }
        for set in self.sets {
            state.write_u32(u32::from_le_bytes([set.desired, set.number, set.name, set.baseline]));
        }
        let Status { revision, batch, shown, resume } = self.status;
        state.write_u32(u32::from_le_bytes([revision, batch, shown as u8, resume as u8]));
        state.write_u32(u32::from_le_bytes([self.version, self.desired, self.confirm, self.confirmed]));
        state.write_u32(u32::from_le_bytes([self.budget, u8::from(self.paused), self.terms.policy as u8, 0]));
    }
}

/// A quick hasher; nobody attacks the model.
#[derive(Default)]
pub struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

pub type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Quick>>;
pub type HashSet<K> = std::collections::HashSet<K, BuildHasherDefault<Quick>>;

impl State {
    pub fn sort(&mut self) {
        self.bases.sort_unstable();
    }

    /// The newest revision.
    pub fn newest(&self) -> Option<usize> {
        (0..VERSIONS).filter(|&set| self.sets[set].exists).max_by_key(|&set| self.sets[set].number)
    }

    /// How many bases serve, in the sense of [`Base::serves`].
    pub fn serving(&self, soaks: Option<usize>) -> u8 {
        count(self.bases.iter().filter(|base| base.serves(soaks)))
    }

    /// Modules of a set that aren't leaving, on bases that aren't ending.
    pub fn live(&self, set: usize) -> impl Iterator<Item = Place> {
        let staying = self.bases.iter().filter(|base| !base.is_ending());
        staying.map(move |base| base.place(set)).filter(|place| place.here && !place.leaving)
    }

    /// The same without those on bases that are to be emptied.
    pub fn settled(&self, set: usize) -> u8 {
        let stays = |base: &&Base| base.stays() && base.place(set).here && !base.place(set).leaving;
        count(self.bases.iter().filter(stays))
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

    /// Modules of `set` on bases where `newest` is such.
    pub fn beside(&self, set: usize, newest: Option<usize>, such: impl Fn(Place) -> bool) -> u8 {
        let Some(newest) = newest.filter(|&newest| newest != set) else { return 0 };
        let is = |base: &&Base| such(base.place(newest)) && !base.place(newest).leaving;
        let stands = |base: &&Base| base.place(set).here && !base.place(set).leaving;
        count(self.bases.iter().filter(is).filter(stands))
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
