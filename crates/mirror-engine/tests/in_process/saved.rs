//! A saved plan that is read back is the plan: it makes the same requests.

use std::sync::Arc;
use std::time::Duration;

use mirror_copy::ManifestSpool;
use mirror_engine::look::incomplete::Closely;
use mirror_engine::look::{self, Ask};
use mirror_engine::passes::OnLimit;
use mirror_engine::{Connections, Errand, Events, Planned};
use mirror_oci::{Algorithm, Digest, RawManifest};
use mirror_plan::plan::{Depth, ReviewNotes, SavedPlan, write_plan};
use mirror_plan::want::expand;
use mirror_testkit::{FakeEcr, ImageBuilder, Profile, Registry};
use proptest::prelude::*;

use crate::world::{Company, Images, REGION, listed_once};

/// One image, and what is there of it.
#[derive(Debug, Clone)]
struct Case {
    /// Whether it is of two platforms, and which part of that is wanted.
    platforms: usize,
    /// Whether the reference has a digest.
    pinned: bool,
    /// What the destination has: nothing, another image, this one.
    there: usize,
    /// What comes between planning and carrying out: nothing, another tag at the source, another image at the destination.
    meanwhile: usize,
}

fn cases() -> impl Strategy<Value = Vec<Case>> {
    let case = (0..4usize, any::<bool>(), 0..3usize, 0..3usize);
    let case = case.prop_map(|(platforms, pinned, there, meanwhile)| Case {
        platforms,
        pinned,
        there,
        meanwhile,
    });
    prop::collection::vec(case, 1..6)
}

/// Puts there what a case says, and gives the tree.
fn tree(cases: &[Case], company: &Company) -> Images {
    let (source, copy) = (company.registry("source.example"), company.registry("copy.example"));
    let mut references = Vec::new();
    let mut config = format!(
        "[[destination]]\nname='copy'\nregistry='copy.example'\n[[destination]]\nname='ecr'\nregistry='{}'\n",
        FakeEcr::name(REGION)
    );
    for (number, case) in cases.iter().enumerate() {
        let (name, builder) = (format!("app-{number}"), ImageBuilder::new(format!("app-{number}")));
        let image = match case.platforms {
            0 => builder.build(),
            _ => builder.platforms(&["linux/amd64", "linux/arm64"]).build(),
        };
        source.add(&name, "1", &image);
        let other = ImageBuilder::new(format!("other-{number}")).build();
        match case.there {
            1 => copy.add(&format!("source.example/{name}"), "1", &other),
            2 => copy.add(&format!("source.example/{name}"), "1", &image),
            _ => {}
        }
        let digest = if case.pinned { format!("@{}", image.digest()) } else { String::new() };
        references.push(format!("source.example/{name}:1{digest}"));
        let wanted = match case.platforms {
            2 => "['linux/amd64']",
            3 => "['linux/arm64', 'linux/amd64']",
            _ => continue,
        };
        config += &format!("[[image]]\nmatch='source.example/{name}'\nplatforms={wanted}\n");
    }
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    Images::new(&references, &config)
}

/// Plans in a world of its own, and carries the plan out as it is, or written and read back.
async fn requests(cases: &[Case], written: bool) -> Vec<(Duration, String)> {
    let company = Company::of([
        Registry::without_server(Profile::default(), "source.example"),
        Registry::without_server(Profile::default(), "copy.example"),
    ]);
    let images = tree(cases, &company);
    let folder = tempfile::tempdir().unwrap();
    let surroundings = company.surroundings(folder.path());
    let wants = expand(&images.entries, &images.config);
    let (events, _told) = Events::new(None);
    let errand = Errand::look(&surroundings, &events);
    let connections = Connections::new(&wants, &images.config, folder.path(), errand).await;
    let ask = Ask {
        depth: Depth::Manifests,
        review_notes: ReviewNotes::Skip,
        closely: Closely::WhereNeeded,
    };
    let (plan, graphs) = look::plan(&wants, &wants, &connections, ask).await;
    let graphs = graphs.values().flatten();
    let manifests = graphs.flat_map(|graph| graph.digests().map(|digest| graph.manifest(digest)));
    let spool = Arc::new(ManifestSpool::default());
    let planned = if written {
        let zero = Digest::of(Algorithm::Sha256, b"");
        let mut bytes = Vec::new();
        write_plan(&mut bytes, &plan, (&zero, &zero), manifests).unwrap();
        let keep = |manifest: RawManifest| spool.put(&manifest);
        let saved = SavedPlan::read(bytes.as_slice(), keep).unwrap();
        let plan = saved.checked(&zero, &zero, &wants).unwrap();
        Planned { plan: Arc::new(plan), manifests: spool }
    } else {
        manifests.for_each(|manifest| spool.put(&manifest.unwrap()).unwrap());
        Planned { plan: Arc::new(plan), manifests: spool }
    };
    for (number, case) in cases.iter().enumerate() {
        let newer = ImageBuilder::new(format!("newer-{number}")).build();
        match case.meanwhile {
            1 => company.registry("source.example").add(&format!("app-{number}"), "1", &newer),
            2 => {
                let repository = format!("source.example/app-{number}");
                company.registry("copy.example").add(&repository, "1", &newer);
            }
            _ => {}
        }
    }
    company.take_log();
    let (_, report) = images.carry_out(&surroundings, OnLimit::Defer, Some(planned)).await;
    assert_eq!(listed_once(&report, &wants), Ok(()));
    company.take_log()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_that_is_written_and_read_back_makes_the_same_requests(cases in cases()) {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
        };
        let as_it_is = runtime().unwrap().block_on(requests(&cases, false));
        let read_back = runtime().unwrap().block_on(requests(&cases, true));
        prop_assert!(!as_it_is.is_empty());
        prop_assert_eq!(as_it_is, read_back);
    }
}
