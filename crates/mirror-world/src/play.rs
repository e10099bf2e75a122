//! Plays the script of a story.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all};
use mirror_copy::{ManifestSpool, VerifyMode};
use mirror_engine::look::incomplete::Closely;
use mirror_engine::look::{self, Ask};
use mirror_engine::passes::{self, Desired, How, OnLimit};
use mirror_engine::{Connections, Errand, Events, Planned, Stop, Surroundings, verify};
use mirror_oci::{Algorithm, Digest, RawManifest};
use mirror_plan::plan::{Depth, Plan, ReviewNotes, SavedPlan, Shard, write_plan};
use mirror_plan::report::{Ending, Report, Verification};
use mirror_testkit::world::{End, Machine, Run, Step, Story, Violation, World};
use tokio::time::Instant;

use crate::judge::{self, Before};
use crate::surroundings;
use crate::tree::Tree;

/// No run takes longer, whatever goes wrong; a limit on pulls can be waited for much longer.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
const LONGEST_WAITING: Duration = Duration::from_secs(14 * 24 * 3600);
/// Who is asked to stop stops.
const LONGEST_STOP: Duration = Duration::from_secs(120);

/// What came of a world.
#[derive(Debug, Clone)]
pub struct Played {
    /// Everything that was asked, said and done.
    pub log: Vec<String>,
    /// What did not hold.
    pub violations: Vec<Violation>,
}

/// Plays a story to its end.
pub fn play(story: &Story) -> Played {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.unwrap();
    let played = runtime.block_on(async {
        let mut player = Player::new(World::of(story.clone()));
        player.play().await;
        Played { log: player.world.log(), violations: player.world.violations() }
    });
    runtime.shutdown_background();
    played
}

/// The same; a panic is something that did not hold.
pub fn attempt(story: &Story) -> Played {
    std::panic::catch_unwind(|| play(story)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let violation = Violation::of("nothing panics", text.unwrap_or_default());
        Played { log: Vec::new(), violations: vec![violation] }
    })
}

/// Carries out once, in a world that is there already.
pub async fn run_once(world: &Arc<World>) {
    let mut player = Player::new(world.clone());
    Box::pin(player.apply(Run::default())).await;
}

struct Player {
    world: Arc<World>,
    tree: Tree,
    began: Instant,
    folder: tempfile::TempDir,
    machines: u64,
    saved: Option<Vec<u8>>,
}

impl Player {
    fn new(world: Arc<World>) -> Player {
        let (tree, folder) = (Tree::of(&world.story), folder());
        Player { world, tree, began: Instant::now(), folder, machines: 0, saved: None }
    }

    async fn play(&mut self) {
        for step in self.world.story.steps.clone() {
            self.world.note(&format!("== {step:?}"));
            Box::pin(self.step(step)).await;
            if !self.world.violations().is_empty() {
                return;
            }
        }
        Box::pin(self.converge()).await;
        self.world.ends();
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Plan => drop(self.look(ReviewNotes::Ask).await),
            Step::Save => self.save().await,
            Step::Apply(run) => drop(self.apply(run).await),
            Step::ApplySaved(run) => self.apply_saved(run).await,
            Step::Shards(of, run) => self.shards(of, run).await,
            Step::Verify(bytes) => drop(self.verify(bytes).await),
            Step::Wait(time) => tokio::time::sleep(time).await,
        }
    }

    /// Faults cease: two runs, and nothing is left to do.
    async fn converge(&mut self) {
        self.world.calm_down();
        self.world.note("== calm");
        // What a host has asked to be left alone for is over.
        tokio::time::sleep(Duration::from_secs(7200)).await;
        let first = Run { waits: true, repair: true, refresh: true, end: None };
        self.apply(first).await;
        let Some(second) = self.apply(Run { repair: false, refresh: false, ..first }).await else {
            return;
        };
        judge::converged(&self.world, &self.tree.wants, &second);
        // What was written last can be found by then.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = self.world.writes();
        let plan = self.look(ReviewNotes::Skip).await;
        if let Some(plan) = plan {
            judge::nothing_left(&self.world, &plan);
        }
        if let Some(third) = self.apply(Run { waits: true, ..Run::default() }).await {
            judge::same_again(&self.world, &second, &third);
        }
        // What fails each night is tried each night.
        if second.ending() == Ending::Done && self.world.writes() != before {
            let what = format!("{} writes", self.world.writes() - before);
            self.world.violated(Violation::of("nothing is written when nothing changed", what));
        }
        if let Some(found) = self.verify(true).await {
            judge::whole(&self.world, &second, &found);
        }
    }

    /// A machine with its disk: always the same one, or one that nobody has used.
    fn machine(&mut self, writes: bool, at: Option<u64>, own: Option<u32>) -> (Machine, PathBuf) {
        self.machines += 1;
        let machine = Machine::new(&format!("m{}", self.machines), writes, at);
        let disk = own.map_or("disk".to_owned(), |number| format!("disk-{number}"));
        (machine, self.folder.path().join(disk).join("spool"))
    }

    fn surroundings(&self, machine: &Machine, spool: &Path) -> Surroundings {
        surroundings::of(&self.world, machine, spool, (self.began, self.machines))
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A plan; nothing, if it took too long.
    async fn look(&mut self, review_notes: ReviewNotes) -> Option<Plan> {
        let (machine, spool) = self.machine(false, None, None);
        let surroundings = self.surroundings(&machine, &spool);
        let ask = Ask { depth: Depth::Manifests, review_notes, closely: Closely::WhereNeeded };
        let root = self.root();
        let Tree { config, wants } = &self.tree;
        let looking = async {
            let (events, _told) = Events::new(None);
            let errand = Errand::look(&surroundings, &events);
            let connections = Connections::new(wants, config, &root, errand).await;
            look::plan(wants, wants, &connections, ask).await.0
        };
        let plan = in_time(&self.world, Box::pin(looking), LONGEST).await?;
        judge::plan(&self.world, wants, &plan);
        Some(plan)
    }

    async fn save(&mut self) {
        let (machine, spool) = self.machine(false, None, None);
        let surroundings = self.surroundings(&machine, &spool);
        let ask = Ask {
            depth: Depth::Manifests,
            review_notes: ReviewNotes::Ask,
            closely: Closely::WhereNeeded,
        };
        let root = self.root();
        let Tree { config, wants } = &self.tree;
        let saving = async {
            let (events, _told) = Events::new(None);
            let errand = Errand::look(&surroundings, &events);
            let connections = Connections::new(wants, config, &root, errand).await;
            let (plan, graphs) = look::plan(wants, wants, &connections, ask).await;
            let graphs = graphs.values().flatten();
            let manifests =
                graphs.flat_map(|graph| graph.digests().map(|digest| graph.manifest(digest)));
            let (mut bytes, zero) = (Vec::new(), Digest::of(Algorithm::Sha256, b""));
            write_plan(&mut bytes, &plan, (&zero, &zero), manifests).unwrap();
            bytes
        };
        self.saved = in_time(&self.world, Box::pin(saving), LONGEST).await;
    }

    async fn apply_saved(&mut self, run: Run) {
        let Some(bytes) = self.saved.clone() else { return };
        let (spool, zero) =
            (Arc::new(ManifestSpool::default()), Digest::of(Algorithm::Sha256, b""));
        let keep = |manifest: RawManifest| spool.put(&manifest);
        let saved = SavedPlan::read(bytes.as_slice(), keep).unwrap();
        let plan = saved.checked(&zero, &zero, &self.tree.wants).unwrap();
        let planned = Planned { plan: Arc::new(plan), manifests: spool };
        let (machine, disk) = self.machine(true, at(run), None);
        self.one(run, machine, &disk, None, Some(planned)).await;
    }

    async fn apply(&mut self, run: Run) -> Option<Report> {
        let (machine, disk) = self.machine(true, at(run), None);
        self.one(run, machine, &disk, None, None).await
    }

    /// Machines side by side; what ends one of them leaves the others alone.
    async fn shards(&mut self, of: u32, run: Run) {
        let mut machines = Vec::new();
        for number in 1..=of {
            let run = if number == 1 { run } else { Run { end: None, ..run } };
            machines.push((number, run, self.machine(true, at(run), Some(number))));
        }
        let this = &*self;
        let runs = machines.into_iter().map(|(number, run, (machine, disk))| async move {
            this.one(run, machine, &disk, Some(Shard { number, of }), None).await
        });
        let reports: Option<Vec<Report>> = join_all(runs).await.into_iter().collect();
        if let Some(reports) = reports {
            judge::listed_once(&self.world, &self.tree.wants, &Report::merge(reports));
        }
    }

    /// One run on one machine; nothing, if it was killed.
    async fn one(
        &self,
        run: Run,
        machine: Machine,
        disk: &Path,
        shard: Option<Shard>,
        saved: Option<Planned>,
    ) -> Option<Report> {
        let Tree { config, wants: whole } = &self.tree;
        let wants = shard.map_or_else(|| whole.clone(), |shard| shard.take(whole.clone()));
        let on_limit = if run.waits { OnLimit::Wait } else { OnLimit::Defer };
        let how = How {
            surroundings: self.surroundings(&machine, disk),
            shard,
            on_limit,
            refresh_referrers: run.refresh,
            repair: run.repair,
        };
        let root = self.root();
        let tree = Desired { config, root: &root, wants: &wants, whole };
        let before = Before::of(&self.world, &wants);
        let planned = saved.as_ref().map(|saved| saved.plan.clone());
        let ((stopper, stop), (events, _told)) = (Stop::new(), Events::new(shard));
        let going = Box::pin(passes::run(tree, &how, saved, &stop, &events));
        let longest = if run.waits { LONGEST_WAITING } else { LONGEST };
        let polls = match run.end {
            Some(End::Kill(polls)) => polls,
            _ => u64::MAX,
        };
        let counted = Box::pin(polled(going, polls));
        let counted = Box::pin(in_time(&self.world, counted, longest));
        let ended = futures_util::future::select(counted, Box::pin(machine.reached())).await;
        let report = match ended {
            Either::Left((report, _)) => report.flatten(),
            Either::Right((_, mut counted)) => match run.end {
                Some(End::Stop(_)) => {
                    stopper.stop();
                    in_time(&self.world, &mut counted, LONGEST_STOP).await.flatten().flatten()
                }
                _ => None,
            },
        };
        machine.switch_off();
        self.world.note(&format!("== {}", report.as_ref().map_or("killed", |_| "ended")));
        judge::memory(&self.world, &machine);
        let report = report?;
        match planned {
            Some(plan) => judge::of_plan(&self.world, &plan, &report),
            None => judge::listed_once(&self.world, &wants, &report),
        }
        judge::report(&self.world, &before, &report, run);
        Some(report)
    }

    async fn verify(&mut self, bytes: bool) -> Option<Verification> {
        let (machine, spool) = self.machine(false, None, None);
        let surroundings = self.surroundings(&machine, &spool);
        let root = self.root();
        let Tree { config, wants } = &self.tree;
        let mode = if bytes { VerifyMode::Content } else { VerifyMode::Existence };
        let looking = async {
            let (events, _told) = Events::new(None);
            let errand = Errand::look(&surroundings, &events);
            let connections = Connections::new(wants, config, &root, errand).await;
            verify::verify(&wants.wants, &connections, mode).await
        };
        in_time(&self.world, Box::pin(looking), LONGEST).await
    }
}

/// A folder for the disks of a world: in memory, where there is such a place, since nobody needs it after a power cut.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The request at which a run is ended.
fn at(run: Run) -> Option<u64> {
    match run.end {
        Some(End::KillAt(request) | End::Stop(request)) => Some(request),
        _ => None,
    }
}

/// What comes of it; nothing, and a violation, if it takes longer than anything may.
async fn in_time<T>(
    world: &World,
    work: impl Future<Output = T> + Unpin,
    longest: Duration,
) -> Option<T> {
    let ended = tokio::time::timeout(longest, work).await;
    if ended.is_err() {
        let what = format!("it was at work for {} s", longest.as_secs());
        world.violated(Violation::of("every run ends in time", what));
    }
    ended.ok()
}

/// Polls so often; nothing, if it has not ended by then.
async fn polled<T>(mut work: impl Future<Output = T> + Unpin, most: u64) -> Option<T> {
    let mut polls = 0;
    std::future::poll_fn(move |context| {
        if polls >= most {
            return std::task::Poll::Ready(None);
        }
        polls += 1;
        std::pin::Pin::new(&mut work).poll(context).map(Some)
    })
    .await
}
