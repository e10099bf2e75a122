//! How many requests of which kind each case costs.

use mirror_testkit::{Image, ImageBuilder, Recorded, Registry};

use crate::{Pair, Project, looks_for_referrers};

/// Requests by kind, look-ups for signatures apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    heads: usize,
    manifest_gets: usize,
    blob_gets: usize,
    posts: usize,
    blob_puts: usize,
    manifest_puts: usize,
    lookups: usize,
    others: usize,
}

fn count(registry: &Registry) -> Count {
    let mut count = Count::default();
    for request in registry.take_requests() {
        *kind(&mut count, &request) += 1;
    }
    count
}

fn kind<'a>(count: &'a mut Count, request: &Recorded) -> &'a mut usize {
    let blob = request.path.contains("/blobs/");
    match request.method.as_str() {
        _ if looks_for_referrers(request) => &mut count.lookups,
        "HEAD" if !blob => &mut count.heads,
        "GET" if blob => &mut count.blob_gets,
        "GET" if request.path.contains("/manifests/") => &mut count.manifest_gets,
        "POST" => &mut count.posts,
        "PUT" if blob => &mut count.blob_puts,
        "PUT" => &mut count.manifest_puts,
        _ => &mut count.others,
    }
}

/// One platform under an index; a config and three layers.
fn image(name: &str) -> Image {
    ImageBuilder::new(name).platforms(&["linux/amd64"]).layers(&[100, 200, 3_000_000]).build()
}

#[test]
fn a_new_image() {
    let pair = Pair::new(&[("library/app", "1.0", &image("new"))]);
    pair.project.mirror(&["apply"]).run();
    let new = Count { heads: 1, manifest_gets: 2, blob_gets: 4, lookups: 8, ..Count::default() };
    assert_eq!(count(&pair.source), new);
    // The large layer is asked for once more, since nobody knows yet what the registry makes of mounts.
    let pushed =
        Count { heads: 1, posts: 4, blob_puts: 4, manifest_puts: 2, others: 1, ..Count::default() };
    assert_eq!(count(&pair.destination), pushed);
}

#[test]
fn a_new_image_that_is_pinned_and_without_signatures() {
    let image = image("new");
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    pair.project.write(
        "images/docker.io/library/app/Dockerfile",
        &format!("FROM app:1.0@{}\n", image.digest()),
    );
    let config = pair.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(config).unwrap();
    pair.project.write("images/mirror.toml", &format!("{config}\n[copy]\nreferrers = \"off\"\n"));
    pair.project.mirror(&["apply"]).run();
    let new = Count { manifest_gets: 2, blob_gets: 4, ..Count::default() };
    assert_eq!(count(&pair.source), new);
    assert_eq!(count(&pair.destination).lookups, 0);
    pair.project.mirror(&["apply"]).run();
    assert_eq!(count(&pair.source), Count::default(), "unchanged and pinned");
    assert_eq!(count(&pair.destination), Count { heads: 1, ..Count::default() });
}

#[test]
fn an_unchanged_image_that_floats() {
    let pair = Pair::new(&[("library/app", "1.0", &image("same"))]);
    pair.project.mirror(&["apply"]).run();
    count(&pair.source);
    count(&pair.destination);
    pair.project.mirror(&["apply"]).run();
    assert_eq!(count(&pair.source), Count { heads: 1, ..Count::default() });
    assert_eq!(count(&pair.destination), Count { heads: 1, ..Count::default() });
}

#[test]
fn blobs_that_the_destination_repository_has() {
    let (old, new) = (image("old"), image("new"));
    let pair = Pair::new(&[("library/app", "1.0", &old)]);
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/app", "1.0", &new);
    // The layers differ by name; what is there under another tag is the image that comes next.
    pair.destination.add("docker.io/library/app", "other", &new);
    count(&pair.source);
    count(&pair.destination);
    pair.project.mirror(&["apply"]).run();
    let read = Count { heads: 1, manifest_gets: 2, lookups: 8, ..Count::default() };
    assert_eq!(count(&pair.source), read, "no blob is fetched");
    // Where no mount was ever declined, one that has to be shows that the others are true: an upload, which is given back.
    let pushed = Count { heads: 1, posts: 4 + 1, manifest_puts: 2, others: 1, ..Count::default() };
    assert_eq!(count(&pair.destination), pushed, "one request for each blob");
}

#[test]
fn blobs_that_are_elsewhere_at_the_destination() {
    let image = image("twice");
    let pair = Pair::new(&[("library/one", "1.0", &image), ("library/two", "1.0", &image)]);
    pair.project.mirror(&["apply"]).run();
    let read = Count { heads: 2, manifest_gets: 4, blob_gets: 4, lookups: 16, ..Count::default() };
    assert_eq!(count(&pair.source), read);
    let pushed =
        Count { heads: 2, posts: 8, blob_puts: 4, manifest_puts: 4, others: 1, ..Count::default() };
    assert_eq!(count(&pair.destination), pushed, "one mount for each blob");
}

#[test]
fn three_destinations_download_once() {
    let image = image("fan-out");
    let (source, project) = (Registry::start(), Project::new());
    source.add("library/app", "1.0", &image);
    project.entry("app:1.0");
    let destinations = [Registry::start(), Registry::start(), Registry::start()];
    let mut config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", source.endpoint());
    for (number, destination) in destinations.iter().enumerate() {
        config += &format!(
            "[[destination]]\nname = \"d{number}\"\nregistry = \"{}\"\n",
            destination.host()
        );
    }
    project.write("images/mirror.toml", &config);
    let ran = project.mirror(&["apply", "--format", "json"]).run();
    let report: mirror_plan::report::Report = serde_json::from_str(&ran.stdout).unwrap();
    let bytes: usize = image.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(report.totals.transfer.fetched_bytes, bytes as u64, "each distinct byte once");
    assert_eq!(report.totals.transfer.pushed_bytes, 3 * bytes as u64);
    let read = count(&source);
    assert_eq!((read.heads, read.manifest_gets, read.blob_gets), (1, 2, 4));
    for destination in &destinations {
        assert!(destination.holds("docker.io/library/app", &image));
        assert_eq!(count(destination).blob_puts, 4);
    }
}
