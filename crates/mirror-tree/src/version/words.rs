//! Words in tags that say more than their letters.

/// What a word in a tag is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// A processor or an operating system: never another one.
    Machine,
    /// A build of Windows; the number that follows belongs to it.
    Windows,
    /// A distribution, which goes out of use: the number that follows belongs to it.
    Distribution,
    /// A release of a distribution, by its name: place in the order of releases.
    Codename(u16),
    /// What an image is made for, in a version that somebody chose: the number that follows belongs to it.
    Runtime,
    /// Not final yet: the lower, the earlier.
    Stage(u8),
    /// Counts builds of one version.
    Counter,
    /// In front of a commit.
    Commit,
}

const MACHINES: [&str; 30] = [
    "amd64", "arm64", "arm64v8", "arm32v5", "arm32v6", "arm32v7", "armv5", "armv6", "armv7",
    "armv8", "armhf", "armel", "arm", "aarch64", "x86", "x64", "i386", "i686", "386", "ppc64le",
    "ppc64", "s390x", "riscv64", "mips64le", "mips64", "loong64", "linux", "x86_64", "win64",
    "darwin",
];

const DISTRIBUTIONS: [&str; 34] = [
    "alpine",
    "debian",
    "ubuntu",
    "ubi",
    "el",
    "rhel",
    "centos",
    "centosstream",
    "fedora",
    "fc",
    "amzn",
    "amazonlinux",
    "al",
    "ol",
    "oraclelinux",
    "rocky",
    "rockylinux",
    "alma",
    "almalinux",
    "suse",
    "sles",
    "opensuse",
    "leap",
    "bci",
    "photon",
    "mariner",
    "azurelinux",
    "wolfi",
    "distroless",
    "deb",
    "ubi-minimal",
    "ubimicro",
    "openeuler",
    "slackware",
];

/// Debian's and Ubuntu's releases, each in their order: <https://www.debian.org/releases/>,
/// <https://wiki.ubuntu.com/Releases>. Ubuntu's start at a thousand, so that none is taken for a successor of Debian's.
const CODENAMES: [(&str, u16); 30] = [
    ("wheezy", 7),
    ("jessie", 8),
    ("stretch", 9),
    ("buster", 10),
    ("bullseye", 11),
    ("bookworm", 12),
    ("trixie", 13),
    ("forky", 14),
    ("duke", 15),
    ("trusty", 1404),
    ("xenial", 1604),
    ("bionic", 1804),
    ("cosmic", 1810),
    ("disco", 1904),
    ("eoan", 1910),
    ("focal", 2004),
    ("groovy", 2010),
    ("hirsute", 2104),
    ("impish", 2110),
    ("jammy", 2204),
    ("kinetic", 2210),
    ("lunar", 2304),
    ("mantic", 2310),
    ("noble", 2404),
    ("oracular", 2410),
    ("plucky", 2504),
    ("questing", 2510),
    ("resolute", 2604),
    ("precise", 1204),
    ("utopic", 1410),
];

const RUNTIMES: [&str; 58] = [
    "jdk",
    "jre",
    "java",
    "openjdk",
    "temurin",
    "corretto",
    "zulu",
    "liberica",
    "sapmachine",
    "semeru",
    "graalvm",
    "graalvmce",
    "ibmjava",
    "php",
    "python",
    "py",
    "cp",
    "pypy",
    "node",
    "nodejs",
    "bun",
    "deno",
    "ruby",
    "go",
    "golang",
    "rust",
    "dotnet",
    "net",
    "netcore",
    "cuda",
    "cudnn",
    "cudnn-devel",
    "rocm",
    "tensorrt",
    "perl",
    "scala",
    "sbt",
    "maven",
    "gradle",
    "kotlin",
    "erlang",
    "otp",
    "elixir",
    "pg",
    "pgsql",
    "postgres",
    "postgresql",
    "postgis",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "hadoop",
    "hive",
    "spark",
    "kafka",
    "flink",
    "nginx",
];

const WINDOWS: [&str; 4] = ["nanoserver", "windowsservercore", "servercore", "windows"];

/// Earlier ones first. The single letters count as stages where they stand right behind a number alone.
const STAGES: [(&str, u8); 22] = [
    ("dev", 1),
    ("develop", 1),
    ("nightly", 1),
    ("snapshot", 1),
    ("canary", 1),
    ("unstable", 1),
    ("experimental", 1),
    ("insider", 1),
    ("alpha", 2),
    ("a", 2),
    ("preview", 3),
    ("eap", 3),
    ("ea", 3),
    ("pre", 3),
    ("prerelease", 3),
    ("m", 3),
    ("milestone", 3),
    ("beta", 4),
    ("b", 4),
    ("rc", 5),
    ("cr", 5),
    ("c", 5),
];

const COUNTERS: [&str; 30] = [
    "cu",
    "r",
    "p",
    "b",
    "u",
    "s",
    "rev",
    "patch",
    "build",
    "release",
    "rel",
    "ls",
    "k3s",
    "k3d",
    "rke2r",
    "rancher",
    "eksbuild",
    "eks",
    "eks-build",
    "gke",
    "ce",
    "ee",
    "post",
    "sp",
    "kb",
    "hotfix",
    "fix",
    "update",
    "ib",
    "v",
];

const COMMITS: [&str; 5] = ["sha", "git", "commit", "rev", "sha256"];

/// The place of a release among those of Debian, or above a thousand of Ubuntu, by its name.
pub(super) fn codename(word: &str) -> Option<u16> {
    CODENAMES.iter().find(|(name, _)| *name == word).map(|(_, place)| *place)
}

/// The name of the release at a place.
pub(super) fn codename_of(place: u16) -> Option<&'static str> {
    CODENAMES.iter().find(|(_, known)| *known == place).map(|(name, _)| *name)
}

/// What a word in lower case is about, if it is one of those that are known.
pub(super) fn topic(word: &str) -> Option<Topic> {
    let known = |words: &[&str]| words.contains(&word);
    let stage = STAGES.iter().find(|(name, _)| *name == word && name.len() > 1);
    if known(&MACHINES) {
        Some(Topic::Machine)
    } else if known(&WINDOWS) || word.starts_with("ltsc") {
        Some(Topic::Windows)
    } else if let Some(place) = codename(word) {
        Some(Topic::Codename(place))
    } else if known(&DISTRIBUTIONS) {
        Some(Topic::Distribution)
    } else if known(&RUNTIMES) {
        Some(Topic::Runtime)
    } else if let Some((_, rank)) = stage {
        Some(Topic::Stage(*rank))
    } else if known(&COUNTERS) {
        Some(Topic::Counter)
    } else if known(&COMMITS) {
        Some(Topic::Commit)
    } else {
        None
    }
}

/// The stage that letters right behind a version say, as in `3.14.0b2` and `1.0rc1`.
pub(super) fn attached_stage(word: &str) -> Option<u8> {
    STAGES.iter().find(|(name, _)| *name == word).map(|(_, rank)| *rank)
}

/// A stage that is also the name of a variant or channel when no number follows: `22.1-dev`, `3.1-nightly`.
pub(super) fn is_channel(word: &str) -> bool {
    ["dev", "develop", "nightly", "canary", "unstable", "experimental", "insider", "m"]
        .contains(&word)
}
