//! Docker Hub's limit on pulls, and other places with the same content.

use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry};

use crate::{Project, looks_for_companions};

/// Four images of three manifests each at a registry that lets us pull so many.
fn limited(limit: u64, seconds: u64) -> (Registry, Registry, Project, Vec<(String, Image)>) {
    let source =
        Registry::with(Profile { pull_limit: Some((limit, seconds)), ..Profile::default() });
    let destination = Registry::start();
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    let make = |n: usize| {
        (
            format!("library/app{n}"),
            ImageBuilder::new(format!("{n}")).platforms(&["linux/amd64", "linux/arm64"]).build(),
        )
    };
    let images: Vec<_> = (0..4).map(make).collect();
    for (name, image) in &images {
        source.add(name, "1", image);
        project.entry(&format!("{name}:1"));
    }
    (source, destination, project, images)
}

fn pulls(registry: &Registry) -> usize {
    registry
        .take_requests()
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains("/manifests/"))
        .count()
}

#[test]
fn what_fits_is_copied_and_the_rest_is_deferred_by_name() {
    let (source, destination, project, images) = limited(7, 3600);
    let ran = project.mirror(&["apply"]).ends_with(6).run();
    assert_eq!(
        destination.tags().len(),
        2,
        "two whole images of three manifests fit into seven pulls"
    );
    assert!(ran.stdout.contains("applied: 2 copied, 0 unchanged, 2 deferred; "), "{}", ran.stdout);
    let copied = |name: &str| destination.tags().contains(&format!("docker.io/{name}:1"));
    for (name, image) in &images {
        assert_eq!(
            ran.stdout.contains(&format!("deferred: docker.io/{name}:1 for prod")),
            !copied(name),
            "{}",
            ran.stdout
        );
        assert_eq!(destination.holds(&format!("docker.io/{name}"), image), copied(name));
    }
    assert!(ran.stdout.contains("source: reading library/app"), "{}", ran.stdout);
    assert!(pulls(&source) <= 7);
}

#[test]
fn a_plan_says_what_is_needed_and_what_is_left() {
    let (source, _destination, project, _) = limited(40, 3600);
    let plan = project.mirror(&["plan", "--no-sizes"]).run();
    assert!(
        plan.stdout.contains("at least 4 manifests from docker.io (of 40 pulls left)"),
        "{}",
        plan.stdout
    );
    assert_eq!(pulls(&source), 0);
}

#[test]
fn waiting_for_the_window() {
    let (_source, destination, project, images) = limited(6, 3);
    let ran = project.mirror(&["apply", "--on-limit", "wait"]).run();
    assert!(
        ran.stderr.contains("2 images wait for a limit on pulls; looking again in 1 s"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("applied: 4 copied, 0 unchanged; "), "{}", ran.stdout);
    images
        .iter()
        .for_each(|(name, image)| assert!(destination.holds(&format!("docker.io/{name}"), image)));
}

#[test]
fn alternatives_are_asked_first_and_not_believed() {
    let image = ImageBuilder::new("alt")
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[400, 1_500_000])
        .build();
    for wrong in [false, true] {
        let source = Registry::with(Profile { pull_limit: Some((3, 3600)), ..Profile::default() });
        let (other, destination) = (Registry::start(), Registry::start());
        source.add("library/app", "1", &image);
        other.add("docker/library/app", "1", &image);
        if wrong {
            other.set_faults(|exchange| (exchange.method == "GET").then_some(Fault::WrongBytes));
        }
        let project = Project::new();
        let config = format!(
            "[[destination]]\nname='prod'\nregistry='{}'\n[registry.'docker.io']\nendpoint='{}'\nalternatives=['{}/docker']\n",
            destination.host(),
            source.endpoint(),
            other.host()
        );
        project.entry("app:1").write("images/mirror.toml", &config);
        project.mirror(&["apply"]).run();
        assert!(destination.holds("docker.io/library/app", &image));
        let mut asked = source.take_requests();
        asked.retain(|request| !looks_for_companions(request));
        let gets = asked.iter().filter(|request| request.method == "GET").count();
        assert_eq!(gets, if wrong { 3 + image.blobs.len() } else { 0 }, "{asked:?}");
        assert_eq!(asked[0].method, "HEAD", "what the tag stands for is the origin's to say");
    }
}
