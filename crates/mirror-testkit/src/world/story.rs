//! Everything that there is in a world, as one value: hosts, images, the tree, what others do, and the script.

use std::time::Duration;

use crate::image::{Image, ImageBuilder};
use crate::profile::Profile;
use crate::world::acts::Act;
use crate::world::faults::{AwsTrouble, Trouble};
use crate::world::link::Link;
use crate::world::script::Step;

/// All there is in a world.
#[derive(Debug, Clone)]
pub struct Story {
    /// Where it comes from.
    pub seed: u64,
    /// Registries that images come from, and go to.
    pub hosts: Vec<HostStory>,
    /// Whether an image layout is a destination too.
    pub layout: bool,
    /// Images, each under a tag of its source.
    pub images: Vec<ImageStory>,
    /// The tree.
    pub entries: Vec<EntryStory>,
    /// What is done about signatures.
    pub referrers: &'static str,
    /// What others do, in the order of requests.
    pub acts: Vec<(u64, Act)>,
    /// What is run.
    pub steps: Vec<Step>,
    /// The machine that it is run on.
    pub machine: MachineStory,
}

/// What a registry is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Images come from it.
    Source,
    /// Images go to it.
    Destination,
    /// It has what a source has, and is tried first.
    Alternative,
}

/// A registry.
#[derive(Debug, Clone)]
pub struct HostStory {
    /// What references call it.
    pub name: String,
    /// Where it is asked.
    pub authority: String,
    /// What it is to us.
    pub role: Role,
    /// How it behaves.
    pub profile: Profile,
    /// User and password that are ours there.
    pub secret: Option<(String, String)>,
    /// Whether tokens are made by a host of its own.
    pub realm: Option<String>,
    /// Whether blobs are served by a host of its own.
    pub cdn: Option<String>,
    /// The way to it.
    pub link: Link,
    /// What goes wrong there.
    pub troubles: Vec<Trouble>,
    /// What goes wrong with the calls of its account, if it has one.
    pub aws: Vec<AwsTrouble>,
    /// Requests at once that the configuration allows.
    pub concurrency: Option<usize>,
    /// Digests that an alternative lacks: so many of a hundred.
    pub lacks: u64,
}

/// What belongs to an image, and how it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// Under cosign's tag.
    Tag,
    /// By its subject.
    Subject,
    /// By its subject, in the index under the fallback tag.
    Fallback,
}

/// An image at its source.
#[derive(Debug, Clone)]
pub struct ImageStory {
    /// Which of the hosts.
    pub host: usize,
    /// Its repository there.
    pub repository: String,
    /// Its tag there.
    pub tag: String,
    /// What it is made of.
    pub seed: String,
    /// Its platforms; none for an image without an index.
    pub platforms: Vec<&'static str>,
    /// The sizes of its layers.
    pub layers: Vec<usize>,
    /// A layer that others have too.
    pub shared: Option<(String, usize)>,
    /// Whether it is of Docker's media types.
    pub docker: bool,
    /// Whether it has a layer that no registry holds.
    pub foreign: bool,
    /// What belongs to it.
    pub signatures: Vec<Signature>,
}

/// One Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStory {
    /// Which of the images.
    pub image: usize,
    /// Whether it has the digest.
    pub pinned: bool,
    /// `--platform`.
    pub platform: Option<&'static str>,
    /// Platforms that the configuration picks.
    pub platforms: Vec<&'static str>,
}

/// The machine that a run is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineStory {
    /// Blobs up to this size stay in memory.
    pub small: u64,
    /// The size of its disk.
    pub disk: Option<u64>,
    /// How long each piece of work on its disk takes.
    pub slow: Option<Duration>,
}

impl Story {
    /// Where images come from.
    pub fn sources(&self) -> impl Iterator<Item = &HostStory> {
        self.hosts.iter().filter(|host| host.role == Role::Source)
    }

    /// The registries that images go to.
    pub fn destinations(&self) -> impl Iterator<Item = &HostStory> {
        self.hosts.iter().filter(|host| host.role == Role::Destination)
    }

    /// The source that an image is at.
    pub fn host_of(&self, image: &ImageStory) -> &HostStory {
        &self.hosts[image.host]
    }

    /// The files of the tree, below the folder of images.
    pub fn files(&self) -> Vec<(String, String)> {
        let files = self.entries.iter().enumerate().map(|(number, entry)| {
            let image = &self.images[entry.image];
            let host = self.host_of(image);
            let platform = entry.platform.map(|it| format!("--platform={it} "));
            let digest =
                if entry.pinned { format!("@{}", image.build().digest()) } else { String::new() };
            let name = format!("{}/{}", host.name, image.repository);
            let line =
                format!("FROM {}{name}:{}{digest}\n", platform.unwrap_or_default(), image.tag);
            (format!("{name}/{}-{number}/Dockerfile", image.tag), line)
        });
        files.collect()
    }

    /// `mirror.toml`.
    pub fn config(&self) -> String {
        let mut text = String::new();
        for (number, host) in self.destinations().enumerate() {
            text += &format!("[[destination]]\nname = 'd{number}'\nregistry = '{}'\n", host.name);
            if host.profile.ecr {
                text += "[destination.ecr]\ncreate = true\n";
            }
        }
        if self.layout {
            text += "[[destination]]\nname = 'layout'\nlayout = 'store'\n";
        }
        for host in &self.hosts {
            text += &format!("[registry.'{}']\n", host.name);
            if let Some(concurrency) = host.concurrency {
                text += &format!("concurrency = {concurrency}\n");
            }
            if let (Some(realm), true) = (&host.realm, host.secret.is_some()) {
                text += &format!("token_realm = 'https://{realm}'\n");
            }
            let alternative = self.hosts.iter().find(|host| host.role == Role::Alternative);
            if let (Some(other), Role::Source) = (alternative, host.role) {
                text += &format!("alternatives = ['{}']\n", other.name);
            }
        }
        text += &format!("[copy]\nreferrers = '{}'\n", self.referrers);
        for entry in self.entries.iter().filter(|entry| !entry.platforms.is_empty()) {
            let image = &self.images[entry.image];
            let (host, platforms) = (&self.host_of(image).name, entry.platforms.join("', '"));
            text += &format!(
                "[[image]]\nmatch = '{host}/{}'\nplatforms = ['{platforms}']\n",
                image.repository
            );
        }
        text
    }
}

impl ImageStory {
    /// Makes it.
    pub fn build(&self) -> Image {
        let mut builder =
            ImageBuilder::new(&self.seed).platforms(&self.platforms).layers(&self.layers);
        if let Some((seed, size)) = &self.shared {
            builder = builder.shared_layer(seed, *size);
        }
        if self.docker {
            builder = builder.docker();
        }
        if self.foreign {
            builder = builder.foreign_layer();
        }
        builder.build()
    }
}
