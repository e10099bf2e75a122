//! What registries are opened for.

use std::sync::Arc;

use mirror_engine::{Connections, Errand, Events, Surroundings};
use mirror_oci::Reference;
use mirror_plan::config::Config;
use mirror_plan::want::expand;
use mirror_registry::Credentials;
use mirror_tree::Entry;

#[tokio::test]
async fn a_destination_that_an_image_does_not_go_to_is_no_source() {
    let entry = |reference: &str| {
        let parsed: Reference = reference.parse().unwrap();
        let (version, name) = (parsed.version().unwrap(), parsed.name);
        let file = format!("{name}/Dockerfile");
        Entry { file, name, version, platform: None, span: 0..0, source: "".into() }
    };
    let config = Config::parse(
        "[[destination]]\nname='a'\nregistry='a.example'\n[[destination]]\nname='b'\nregistry='b.example'\n\
         [[destination]]\nname='left'\nregistry='left.example'\n\
         [[image]]\nmatch='docker.io/library/app'\ndestinations=['a']\n\
         [[image]]\nmatch='docker.io/library/other'\ndestinations=['b']\n",
    )
    .unwrap();
    let wants = expand(&[entry("app:1"), entry("other:1")], &config);
    let spool = tempfile::tempdir().unwrap();
    let surroundings =
        Surroundings::real(Default::default(), Arc::new(Credentials::default()), spool.path());
    let (events, _told) = Events::new(None);
    let errand = Errand { writes: true, ..Errand::look(&surroundings, &events) };
    let connections = Connections::new(&wants, &config, spool.path(), errand).await;
    let host = |name: &str| connections.registry(&name.parse().unwrap()).unwrap();
    for name in ["a.example", "b.example"] {
        // Only then do uploads follow downloads.
        assert!(host(name).is_written() && !host(name).is_two_way(), "{name}");
    }
    assert!(!host("left.example").is_written(), "what nothing goes to is only read");
    assert!(!host("docker.io").is_written());
}
