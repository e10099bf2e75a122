//! Draws a story from a seed.

use crate::world::acts::Act;
use crate::world::dice::Dice;
use crate::world::story::{
    EntryStory, HostStory, ImageStory, MachineStory, Role, Signature, Story,
};
use crate::world::{quirks, script};

const PLATFORMS: [&str; 4] = ["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"];

impl Story {
    /// Draws everything.
    pub fn draw(seed: u64) -> Story {
        let mut dice = Dice::of(seed, "story");
        let hosts = quirks::hosts(&mut Dice::of(seed, "hosts"));
        let images = images(&mut Dice::of(seed, "images"), &hosts);
        let entries = entries(&mut Dice::of(seed, "entries"), &images);
        let registries = hosts.iter().filter(|host| host.role == Role::Destination).count();
        let layout = registries == 0 || dice.percent(15);
        let machine = MachineStory {
            small: *dice.one(&[64, 1 << 10, 4 << 10, 1 << 20]),
            disk: dice.perhaps(12, |dice| dice.between(150_000, 400_000)),
            slow: dice.perhaps(12, |dice| dice.time(1, 3_000)),
        };
        let referrers = dice.one(&["copy", "copy", "copy", "require", "off"]);
        let acts = acts(&mut Dice::of(seed, "acts"), &hosts, &images, &entries);
        let steps = script::draw(&mut Dice::of(seed, "script"));
        Story { seed, hosts, layout, images, entries, referrers, acts, steps, machine }
    }
}

fn images(dice: &mut Dice, hosts: &[HostStory]) -> Vec<ImageStory> {
    let sources: Vec<usize> =
        (0..hosts.len()).filter(|number| hosts[*number].role == Role::Source).collect();
    let names = ["app", "team/app", "base", "team/web/front", "db"];
    let mut images: Vec<ImageStory> = Vec::new();
    for number in 0..dice.between(1, 7) {
        let (host, repository) = (*dice.one(&sources), (*dice.one(&names)).to_owned());
        let hub = hosts[host].name == "docker.io" && !repository.contains('/');
        let repository = if hub { format!("library/{repository}") } else { repository };
        let platforms = dice.below(PLATFORMS.len() + 1);
        let sizes = [0, 1, 300, 2_000, 5_000, 20_000, 70_000];
        let signatures = [Signature::Tag, Signature::Subject, Signature::Fallback];
        images.push(ImageStory {
            host,
            repository,
            tag: format!("{}.{number}", dice.below(3)),
            seed: format!("image-{number}"),
            platforms: PLATFORMS[..platforms].to_vec(),
            layers: (0..dice.below(4)).map(|_| *dice.one(&sizes)).collect(),
            shared: dice.perhaps(50, |dice| (format!("base-{}", dice.below(2)), 9_000)),
            docker: dice.percent(30),
            foreign: dice.percent(10),
            signatures: (0..dice.below(3)).map(|_| *dice.one(&signatures)).collect(),
        });
    }
    images
}

fn entries(dice: &mut Dice, images: &[ImageStory]) -> Vec<EntryStory> {
    let mut entries: Vec<EntryStory> = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let pinned = dice.percent(50);
        let platform = dice.perhaps(15, |dice| *dice.one(&PLATFORMS));
        let picked = dice.perhaps(15, |dice| {
            let count = dice.between(1, 2) as usize;
            PLATFORMS[..count].to_vec()
        });
        let of_index = |platform: &&str| image.platforms.contains(platform);
        // What the configuration picks is picked for all of a repository.
        let alone = images
            .iter()
            .filter(|other| (other.host, &other.repository) == (image.host, &image.repository));
        let alone = alone.count() == 1;
        let platforms = picked.filter(|picked| alone && picked.iter().all(of_index));
        let platforms = platforms.filter(|_| platform.is_none()).unwrap_or_default();
        entries.push(EntryStory {
            image: number,
            pinned,
            platform: platform.filter(of_index),
            platforms,
        });
    }
    entries
}

/// Draws what happens, and after how many requests.
fn acts(
    dice: &mut Dice,
    hosts: &[HostStory],
    images: &[ImageStory],
    entries: &[EntryStory],
) -> Vec<(u64, Act)> {
    let there: Vec<usize> =
        (0..hosts.len()).filter(|host| hosts[*host].role == Role::Destination).collect();
    let mut acts = Vec::new();
    for _ in 0..*dice.one(&[0, 0, 1, 2, 4]) {
        let at = dice.time(1, 400).as_millis() as u64;
        let (image, entry) = (dice.below(images.len()), dice.below(entries.len()));
        let act = match dice.below(6) {
            0 => Act::Move(image),
            1 => Act::Delete(image),
            2 => Act::SignUpstream(image),
            _ if there.is_empty() => Act::Move(image),
            3 => Act::Tag { host: *dice.one(&there), entry },
            4 => Act::Sign { host: *dice.one(&there), entry },
            _ => Act::Lose { host: *dice.one(&there), entry },
        };
        acts.push((at, act));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}
