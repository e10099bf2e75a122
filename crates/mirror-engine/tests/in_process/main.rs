//! The engine without a socket: registries and AWS in the same process, the clock paused. Every run is the same to the
//! last request.
// Futures of a whole run are deep.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

mod saved;
mod world;

use std::time::Duration;

use mirror_engine::Event;
use mirror_engine::passes::OnLimit;
use mirror_testkit::{FakeEcr, Fault, Image, ImageBuilder, Profile, Registry};
use world::{Company, Images, REGION, listed_once};

/// Four images, two of which share their layers and one of which is wide, to a registry and to ECR.
async fn night() -> Vec<Vec<(Duration, String)>> {
    let (source, copy) = ("source.example", "copy.example");
    let company = Company::of([
        Registry::without_server(Profile::default(), source),
        Registry::without_server(Profile { mount: true, ..Profile::default() }, copy),
    ]);
    let platforms = ["linux/amd64", "linux/arm64"];
    let big = ImageBuilder::new("big").platforms(&platforms).layers(&[3 << 20, 2000]).build();
    let small = ImageBuilder::new("small").platforms(&platforms).build();
    let many =
        ["386", "amd64", "arm/v5", "arm/v7", "arm64", "mips64le", "ppc64le", "riscv64", "s390x"];
    let many: Vec<String> = many.iter().map(|kind| format!("linux/{kind}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let wide = ImageBuilder::new("wide").platforms(&many).layers(&[900, 800, 700, 70_000]).build();
    let all = [("app", &big), ("other", &small), ("same", &big), ("wide", &wide)];
    for (name, image) in all {
        company.registry(source).add(name, "1", image);
    }
    let ecr = FakeEcr::name(REGION);
    let config = format!(
        "[[destination]]\nname='copy'\nregistry='{copy}'\n[[destination]]\nname='ecr'\nregistry='{ecr}'\n"
    );
    let references = all.map(|(name, _)| format!("{source}/{name}:1"));
    let references = references.each_ref().map(String::as_str);
    let images = Images::new(&references, &config);
    let folder = tempfile::tempdir().unwrap();
    let surroundings = company.surroundings(folder.path());
    let mut logs = Vec::new();
    for (copied, unchanged) in [(8, 0), (0, 8)] {
        let (events, report) = images.apply(&surroundings, OnLimit::Defer).await;
        let totals = &report.totals;
        assert_eq!((totals.copied, totals.unchanged, totals.failed), (copied, unchanged, 0));
        assert!(matches!(events.last(), Some(Event::PassEnded)));
        let wants = mirror_plan::want::expand(&images.entries, &images.config);
        assert_eq!(listed_once(&report, &wants), Ok(()));
        logs.push(company.take_log());
    }
    for (name, image) in all {
        let repository = format!("{source}/{name}");
        assert!(company.registry(copy).holds(&repository, image), "{name}");
        assert!(company.registry(&ecr).holds(&repository, image), "{name}");
    }
    logs
}

#[tokio::test(start_paused = true)]
async fn two_nights_are_the_same_to_the_last_request() {
    let (one, other) = (night().await, night().await);
    assert_eq!(one, other);
    let [first, second] = one.as_slice() else { panic!("two runs") };
    // A look at each tag; the other requests of the second night find out who ECR thinks we are.
    assert!(first.len() > 40, "{first:#?}");
    let copies = second.iter().filter(|(_, request)| !request.starts_with("AWS"));
    assert!(copies.clone().all(|(_, request)| request.starts_with("HEAD")), "{second:#?}");
}

/// Twenty images at `source.example`, to be copied to `copy.example`.
fn twenty(company: &Company, image: impl Fn(&str) -> Image) -> Images {
    let names: Vec<String> = (0..20).map(|number| format!("image-{number}")).collect();
    for name in &names {
        company.registry("source.example").add(name, "1", &image(name));
    }
    let references: Vec<String> =
        names.iter().map(|name| format!("source.example/{name}:1")).collect();
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    Images::new(&references, "[[destination]]\nname='copy'\nregistry='copy.example'\n")
}

#[tokio::test(start_paused = true)]
async fn hours_pass_in_no_time() {
    let limit = Profile { pull_limit: Some((6, 6 * 3600)), ..Profile::default() };
    let company = Company::of([
        Registry::without_server(limit, "source.example"),
        Registry::without_server(Profile::default(), "copy.example"),
    ]);
    let images = twenty(&company, |name| ImageBuilder::new(name).build());
    let folder = tempfile::tempdir().unwrap();
    let surroundings = company.surroundings(folder.path());
    let (began, real) = (tokio::time::Instant::now(), std::time::Instant::now());
    let (_, report) = images.apply(&surroundings, OnLimit::Wait).await;
    assert_eq!((report.totals.copied, report.totals.failed), (20, 0), "{report:#?}");
    // Six at once, and then six every six hours.
    let hours = began.elapsed().as_secs() / 3600;
    assert!((18..=20).contains(&hours), "{hours} h, {:?} in truth", real.elapsed());
}

/// A registry that refuses to mount, and has one store for all repositories: it says so when it is asked for a mount of a
/// blob from the very repository that it goes to.
#[tokio::test(start_paused = true)]
async fn a_shared_layer_is_sent_once_where_mounts_are_refused() {
    let one_store = Profile { one_store: true, ..Profile::default() };
    let company = Company::of([
        Registry::without_server(Profile::default(), "source.example"),
        Registry::without_server(one_store, "copy.example"),
    ]);
    let images = twenty(&company, |name| {
        ImageBuilder::new(name).layers(&[100_000]).shared_layer("base", 200_000).build()
    });
    let copy = company.registry("copy.example");
    let base = ImageBuilder::new("any").shared_layer("base", 200_000).build();
    let base = base.blobs.iter().find(|(_, bytes)| bytes.len() == 200_000).unwrap().0.clone();
    copy.set_faults(move |exchange| {
        let mount = exchange.method == "POST" && exchange.query.contains("mount=");
        let own = exchange.path.trim_start_matches("/v2/").trim_end_matches("/blobs/uploads/");
        let from_itself = exchange.query.ends_with(&own.replace('/', "%2F"));
        (mount && !from_itself).then(|| Fault::refuse(403, "DENIED", "no mounts"))
    });
    let folder = tempfile::tempdir().unwrap();
    let (_, report) = images.apply(&company.surroundings(folder.path()), OnLimit::Defer).await;
    assert_eq!((report.totals.copied, report.totals.failed), (20, 0), "{report:#?}");
    let log = company.take_log();
    let sent =
        log.iter().filter(|(_, asked)| asked.starts_with("PUT") && asked.contains(base.hex()));
    assert_eq!(sent.count(), 1, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_asked_for_again() {
    let company = Company::of([
        Registry::without_server(Profile::default(), "source.example"),
        Registry::without_server(Profile::default(), "copy.example"),
    ]);
    let source = company.registry("source.example");
    let image = ImageBuilder::new("one").platforms(&["linux/amd64", "linux/arm64"]).build();
    source.add("app", "1", &image);
    // The first answer to each GET of a manifest and of a list of referrers stops in the middle.
    let asked = std::sync::Mutex::new(std::collections::BTreeSet::new());
    source.set_faults(move |exchange| {
        let lists = ["/manifests/", "/referrers/", "/blobs/"];
        let lists =
            exchange.method == "GET" && lists.iter().any(|kind| exchange.path.contains(kind));
        let first = lists && asked.lock().unwrap().insert(exchange.path.clone());
        first.then_some(Fault::Cut(10))
    });
    let config = "[[destination]]\nname='copy'\nregistry='copy.example'\n";
    let images = Images::new(&["source.example/app:1"], config);
    let folder = tempfile::tempdir().unwrap();
    let (_, report) = images.apply(&company.surroundings(folder.path()), OnLimit::Defer).await;
    assert_eq!((report.totals.copied, report.totals.failed), (1, 0), "{report:#?}");
    assert!(report.outcomes[0].warnings.is_empty(), "{report:#?}");
    assert!(company.registry("copy.example").holds("source.example/app", &image));
}

/// Whoever may not ask ECR in bulk asks for each blob, and sends what is missing.
#[tokio::test(start_paused = true)]
async fn blobs_that_nobody_may_ask_for_in_bulk_are_asked_for_one_by_one() {
    let company = Company::of([Registry::without_server(Profile::default(), "source.example")]);
    let first = ImageBuilder::new("first").shared_layer("base", 200_000).build();
    let second = ImageBuilder::new("second").shared_layer("base", 200_000).build();
    let base = first.blobs.iter().find(|(_, bytes)| bytes.len() == 200_000).unwrap().0.clone();
    company.registry("source.example").add("app", "1", &first);
    company.registry("source.example").add("app", "2", &second);
    let ecr = FakeEcr::name(REGION);
    let config = format!("[[destination]]\nname='ecr'\nregistry='{ecr}'\n");
    company.account.set_refusals(|call| {
        (call.action == "ecr:BatchCheckLayerAvailability").then_some((
            400,
            "AccessDeniedException",
            "not authorized",
        ))
    });
    let folder = tempfile::tempdir().unwrap();
    for (references, sent) in
        [(&["source.example/app:1"][..], 1), (&["source.example/app:1", "source.example/app:2"], 0)]
    {
        let images = Images::new(references, &config);
        let surroundings = company.surroundings(folder.path());
        let (_, report) = images.apply(&surroundings, OnLimit::Defer).await;
        assert_eq!((report.totals.copied, report.totals.failed), (1, 0), "{report:#?}");
        let log = company.take_log();
        let puts =
            log.iter().filter(|(_, asked)| asked.starts_with("PUT") && asked.contains(base.hex()));
        assert_eq!(puts.count(), sent, "{log:#?}");
    }
}

/// Stops a run, or drops it, after each number of events: whatever was wanted is in one list of the report, and no tag
/// names anything that isn't whole.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_anywhere_has_its_report() {
    let limit = Profile { pull_limit: Some((6, 3600)), ..Profile::default() };
    let image = |name: &str| ImageBuilder::new(name).build();
    for dropped in [false, true] {
        // A future that was never polled has done nothing at all.
        let mut after = 1;
        loop {
            let company = Company::of([
                Registry::without_server(limit.clone(), "source.example"),
                Registry::without_server(Profile::default(), "copy.example"),
            ]);
            let images = twenty(&company, image);
            let folder = tempfile::tempdir().unwrap();
            let surroundings = company.surroundings(folder.path());
            let ended = images.stopped_after(&surroundings, after, dropped).await;
            let wants = mirror_plan::want::expand(&images.entries, &images.config);
            assert_eq!(listed_once(&ended.report, &wants), Ok(()), "after {after} events");
            let totals = &ended.report.totals;
            let copy = company.registry("copy.example");
            // What was dropped in the middle of its last request may be there without anybody knowing.
            let known = copy.tags().len();
            assert!(totals.copied <= known && (dropped || totals.copied == known), "{totals:?}");
            for tag in copy.tags() {
                let (repository, _) = tag.split_once(':').unwrap();
                assert!(copy.holds(repository, &image(repository.rsplit('/').next().unwrap())));
            }
            if ended.was_over {
                assert_eq!((totals.copied, totals.cancelled), (20, 0));
                break;
            }
            assert!(ended.report.interrupted, "after {after} events");
            after += 47;
        }
        assert!(after > 100, "{after}");
    }
}
