//! The world is honest: the same run makes the same requests over sockets, of the same registry.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;

use mirror_engine::passes::{self, Desired, How, OnLimit};
use mirror_engine::{Events, Stop, Surroundings};
use mirror_plan::config::Config;
use mirror_plan::want::expand;
use mirror_registry::{Credentials, Network};
use mirror_testkit::world::{
    EntryStory, HostStory, ImageStory, Link, MachineStory, Role, Run, Signature, Step, Story,
    World, publish,
};
use mirror_testkit::{AuthProfile, Profile, Recorded, Registry};
use mirror_tree::{Entry, Rules, parse};

fn host(name: &str, role: Role, profile: Profile) -> HostStory {
    HostStory {
        name: name.to_owned(),
        authority: name.to_owned(),
        role,
        profile,
        secret: None,
        realm: None,
        cdn: None,
        link: Link::default(),
        troubles: Vec::new(),
        aws: Vec::new(),
        // One after the other, so that what is learned from one response is known for the next.
        concurrency: Some(1),
        lacks: 0,
    }
}

fn image(number: usize, platforms: &[&'static str], signatures: &[Signature]) -> ImageStory {
    ImageStory {
        host: 0,
        repository: format!("app-{number}"),
        tag: "1".to_owned(),
        seed: format!("image {number}"),
        platforms: platforms.to_vec(),
        layers: vec![300, 5_000],
        shared: Some(("base".to_owned(), 9_000)),
        docker: number == 1,
        foreign: false,
        signatures: signatures.to_vec(),
    }
}

/// Three images, signed in every way, to a registry that wants tokens of nobody in particular.
fn story() -> Story {
    let signatures = [Signature::Tag, Signature::Subject, Signature::Fallback];
    let images = vec![
        image(0, &["linux/amd64", "linux/arm64"], &signatures),
        image(1, &[], &[]),
        image(2, &["linux/amd64"], &[Signature::Tag]),
    ];
    let entry = |image| EntryStory { image, pinned: image == 1, platform: None, platforms: vec![] };
    let auth = match AuthProfile::bearer("nobody", "nothing") {
        AuthProfile::Bearer { user, password, lifetime, realm, .. } => {
            AuthProfile::Bearer { user, password, lifetime, realm, anonymous_pull: true }
        }
        other => other,
    };
    let run = Run::default();
    Story {
        seed: 0,
        hosts: vec![
            host("source.example", Role::Source, Profile { auth, ..Profile::default() }),
            host("copy.example", Role::Destination, Profile::default()),
        ],
        layout: false,
        images,
        entries: (0..3).map(entry).collect(),
        referrers: "copy",
        acts: Vec::new(),
        steps: vec![Step::Apply(run)],
        machine: MachineStory { small: 1 << 20, disk: None, slow: None },
    }
}

/// What a registry was asked, in any order: which of two that wait is first is for the network to say.
fn asked(registry: &Registry) -> Vec<String> {
    let line = |it: &Recorded| {
        // Sessions are numbered in the order that they were opened.
        let path = it.path.split("/uploads/").next().unwrap_or_default().to_owned();
        let query = it.query.split("digest=").last().unwrap_or_default().to_owned();
        format!("{} {path} {query} {}", it.method, it.status)
    };
    let mut lines: Vec<String> = registry.take_requests().iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn the_same_requests_as_over_sockets() {
    let story = story();
    let in_the_world = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::of(story.clone());
            mirror_world::run_once(&world).await;
            assert!(world.violations().is_empty(), "{:?}", world.violations());
            story.hosts.iter().map(|host| asked(world.registry_of(host))).collect::<Vec<_>>()
        })
    };
    let over_sockets = {
        let registries: Vec<Registry> =
            story.hosts.iter().map(|host| Registry::with(host.profile.clone())).collect();
        let [source, _] = registries.as_slice() else { panic!("two of them") };
        story.images.iter().for_each(|image| publish(source, image));
        let mut config = story.config();
        for (host, registry) in story.hosts.iter().zip(&registries) {
            let section = format!("[registry.'{}']\n", host.name);
            let endpoint = format!("{section}endpoint = '{}'\n", registry.endpoint());
            config = config.replace(&section, &endpoint);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(over_sockets(&story, &config));
        registries.iter().map(asked).collect::<Vec<_>>()
    };
    assert!(in_the_world.iter().all(|asked| asked.len() > 10), "{in_the_world:#?}");
    assert_eq!(in_the_world, over_sockets);
}

async fn over_sockets(story: &Story, config: &str) {
    let config = Config::parse(config).unwrap();
    let entries = story.files().into_iter().map(|(file, text)| {
        let from = parse(&file, text.as_bytes(), &Rules::default()).from.unwrap();
        let (name, version, span) = (from.name, from.version, from.span);
        Entry { file, name, version, platform: from.platform, span, source: text.into() }
    });
    let wants = expand(&entries.collect::<Vec<_>>(), &config);
    let folder = tempfile::tempdir().unwrap();
    let nobody = Arc::new(Credentials::default());
    let how = How {
        surroundings: Surroundings::real(Network::default(), nobody, &folder.path().join("spool")),
        shard: None,
        on_limit: OnLimit::Defer,
        refresh_referrers: false,
        repair: false,
    };
    let tree = Desired { config: &config, root: folder.path(), wants: &wants, whole: &wants };
    let ((_stopper, stop), (events, _told)) = (Stop::new(), Events::new(None));
    let report = Box::pin(passes::run(tree, &how, None, &stop, &events)).await;
    assert_eq!((report.totals.copied, report.totals.failed), (3, 0), "{report:#?}");
}
