//! Pieces of `scripts/bench` that a shell can't do well:
//!
//! `bench-tool set <name> <storage> <tree>` puts a set of images into the storage folder of a `docker-registry`,
//! and the tree that wants them beside it; prints `repository:tag` of each.
//! `bench-tool serve <name> <tree>` has such a set in a registry in its own memory, until it is killed; prints its address.
//! `bench-tool ecr <tree>` runs an account of a fake Amazon ECR and prints what to set in the environment; for each
//! line on its input it prints how often each call and request was made since the last. It ends with its input.
//! `bench-tool proxy <to> <delay in ms> <bytes a second>` runs a proxy until it is killed; prints its address.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a tool for measurements stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use mirror_testkit::{FakeEcr, Image, ImageBuilder, Proxy, Registry, Weather};

const MB: usize = 1_000_000;
const BOTH: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["set", name, storage, tree] => set(name, Path::new(storage), Path::new(tree)),
        ["serve", name, tree] => serve(name, Path::new(tree)),
        ["ecr", tree] => ecr(Path::new(tree)),
        ["proxy", to, delay, rate] => {
            let delay = Duration::from_millis(delay.parse().expect("milliseconds"));
            let weather = Weather {
                delay,
                rate: rate.parse().expect("bytes a second"),
                ..Weather::default()
            };
            let proxy = Proxy::start(to.parse().expect("host:port"), weather);
            println!("{}", proxy.host());
            std::io::stdout().flush().unwrap();
            loop {
                std::thread::park();
            }
        }
        _ => panic!(
            "usage: bench-tool set NAME STORAGE TREE | bench-tool proxy TO MILLISECONDS BYTES"
        ),
    }
}

/// 100 repositories with ten images each, from a registry that is `docker.io`.
fn ecr(tree: &Path) {
    const REGION: &str = "eu-central-1";
    let (ecr, source) = (FakeEcr::start(&[REGION]), Registry::start());
    for number in 0..1000 {
        let (repository, tag) = (number / 10, number % 10);
        let image = ImageBuilder::new(format!("{repository}:{tag}")).build();
        source.add(&format!("team/app{repository}"), &tag.to_string(), &image);
        let folder = tree.join(format!("docker.io/team/app{repository}/{tag}"));
        std::fs::create_dir_all(&folder).unwrap();
        let line = format!("FROM team/app{repository}:{tag}@{}\n", image.digest());
        std::fs::write(folder.join("Dockerfile"), line).unwrap();
    }
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[destination.ecr]\nimmutable_tags = true\nscan_on_push = true\n{}[registry.\"docker.io\"]\nendpoint = \"{}\"\n",
        FakeEcr::name(REGION),
        ecr.endpoint_config(REGION),
        source.endpoint()
    );
    std::fs::write(tree.join("mirror.toml"), config).unwrap();
    println!("AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x", ecr.endpoint());
    for line in std::io::stdin().lines() {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let calls = ecr.take_calls().into_iter().map(|call| call.action);
        let asked = |registry: &Registry, side: &'static str| {
            let requests = registry.take_requests().into_iter();
            requests.map(move |request| format!("{side} {} {}", request.method, request.status))
        };
        let asked = asked(&source, "source").chain(asked(ecr.registry(REGION), "destination"));
        calls.chain(asked).for_each(|what| *counts.entry(what).or_default() += 1);
        println!("{} {counts:?}", line.unwrap());
        std::io::stdout().flush().unwrap();
    }
}

fn serve(name: &str, tree: &Path) {
    let registry = Registry::start();
    each(name, tree, |repository, image| registry.add(repository, "1.0", image));
    println!("{}", registry.host());
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

fn set(name: &str, storage: &Path, tree: &Path) {
    each(name, tree, |repository, image| {
        image.write_storage(storage, repository, "1.0");
        println!("{repository}:1.0");
    });
}

/// Makes the images of a set one by one, and the tree that wants them.
fn each(name: &str, tree: &Path, mut add: impl FnMut(&str, &Image)) {
    let (count, pinned, build): (usize, bool, fn(usize) -> Image) = match name {
        "small" => (200, false, small),
        "large" => (6, false, large),
        "shared" => (24, false, shared),
        "pinned-100" => (100, true, tiny),
        "pinned-1000" => (1000, true, tiny),
        "pinned-10000" => (10_000, true, tiny),
        "wide-1000" => (1000, true, wide),
        "wide-10000" => (10_000, true, wide),
        "one-2gb" => (1, false, one),
        _ => panic!("no such set: {name}"),
    };
    for number in 0..count {
        let repository = format!("{name}{}/app{number}", number / 100);
        let image = build(number);
        add(&repository, &image);
        let folder = tree.join("bench.example").join(&repository);
        std::fs::create_dir_all(&folder).unwrap();
        let digest = if pinned { format!("@{}", image.digest()) } else { String::new() };
        std::fs::write(
            folder.join("Dockerfile"),
            format!("FROM bench.example/{repository}:1.0{digest}\n"),
        )
        .unwrap();
    }
}

/// One platform under an index, three layers of 100 KB, one of them the same everywhere.
fn small(number: usize) -> Image {
    let builder = ImageBuilder::new(format!("small {number}")).platforms(&["linux/amd64"]);
    builder.layers(&[100_000, 100_000]).shared_layer("small base", 100_000).build()
}

/// Two platforms of four layers of 24 MB.
fn large(number: usize) -> Image {
    ImageBuilder::new(format!("large {number}")).platforms(&BOTH).layers(&[24 * MB; 4]).build()
}

/// Two platforms of four layers of 6 MB, three of them the same in all images of a platform.
fn shared(number: usize) -> Image {
    let builder = ImageBuilder::new(format!("shared {number}")).platforms(&BOTH).layers(&[6 * MB]);
    builder.platform_layers("shared base", &[6 * MB; 3]).build()
}

fn tiny(number: usize) -> Image {
    ImageBuilder::new(format!("tiny {number}")).platforms(&["linux/amd64"]).layers(&[100]).build()
}

/// Six platforms of three layers each, two of which all images have: 7 manifests of about 7 KB together.
fn wide(number: usize) -> Image {
    let platforms = ["386", "amd64", "arm64", "ppc64le", "riscv64", "s390x"];
    let platforms = platforms.map(|kind| format!("linux/{kind}"));
    let platforms: Vec<&str> = platforms.iter().map(String::as_str).collect();
    let builder = ImageBuilder::new(format!("wide {number}")).platforms(&platforms).layers(&[100]);
    builder.platform_layers("wide base", &[1000, 2000]).build()
}

fn one(_: usize) -> Image {
    ImageBuilder::new("one").layers(&[2000 * MB]).build()
}
