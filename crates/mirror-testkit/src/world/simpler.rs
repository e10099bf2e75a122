//! Stories that are a little simpler than a story: whoever finds one that still fails goes on with that.

use crate::profile::Profile;
use crate::world::link::Link;
use crate::world::story::{HostStory, MachineStory, Role, Story};

/// Stories with one thing less.
struct Simpler<'a> {
    story: &'a Story,
    all: Vec<Story>,
}

impl Story {
    /// Each way to take one thing away, the largest first.
    pub fn simpler(&self) -> Vec<Story> {
        let mut simpler = Simpler { story: self, all: Vec::new() };
        simpler.of_the_script();
        simpler.of_the_machine();
        for number in 0..self.hosts.len() {
            simpler.of_a_host(number);
        }
        simpler.of_hosts();
        for number in 0..self.images.len() {
            simpler.of_an_image(number);
        }
        simpler.all.retain(|story| format!("{story:?}") != format!("{self:?}"));
        simpler.all
    }
}

impl Simpler<'_> {
    fn add(&mut self, change: impl FnOnce(&mut Story)) {
        let mut story = self.story.clone();
        change(&mut story);
        self.all.push(story);
    }

    fn of_the_script(&mut self) {
        for step in 0..self.story.steps.len() {
            self.add(|story| {
                story.steps.remove(step);
            });
        }
        for entry in (0..self.story.entries.len()).filter(|_| self.story.entries.len() > 1) {
            self.add(|story| {
                story.entries.remove(entry);
                // They name entries by number.
                story.acts.clear();
            });
        }
        for act in 0..self.story.acts.len() {
            self.add(|story| {
                story.acts.remove(act);
            });
        }
    }

    fn of_the_machine(&mut self) {
        if self.story.layout && self.story.destinations().next().is_some() {
            self.add(|story| story.layout = false);
        }
        self.add(|story| story.machine = MachineStory { small: 1 << 20, disk: None, slow: None });
        self.add(|story| story.machine.disk = None);
        self.add(|story| story.machine.slow = None);
    }

    fn of_a_host(&mut self, number: usize) {
        for trouble in 0..self.story.hosts[number].troubles.len() {
            self.add(|story| {
                story.hosts[number].troubles.remove(trouble);
            });
        }
        self.add(|story| story.hosts[number].aws.clear());
        self.add(|story| story.hosts[number].link = Link::default());
        self.add(|story| story.hosts[number].concurrency = None);
        self.add(|story| {
            let HostStory { cdn, profile, .. } = &mut story.hosts[number];
            (*cdn, profile.blob_redirect) = (None, None);
        });
        self.add(|story| {
            let profile = &mut story.hosts[number].profile;
            *profile = Profile {
                auth: profile.auth.clone(),
                blob_redirect: profile.blob_redirect.clone(),
                ecr: profile.ecr,
                ..Profile::default()
            };
        });
        for quirk in QUIRKS {
            self.add(|story| quirk(&mut story.hosts[number].profile));
        }
    }

    /// Images name hosts by number, so that only the last one can go.
    fn of_hosts(&mut self) {
        let Some(last) = self.story.hosts.last() else { return };
        let goes = match last.role {
            Role::Source => false,
            Role::Alternative => true,
            Role::Destination => self.story.destinations().count() > 1 || self.story.layout,
        };
        if goes && self.story.acts.is_empty() {
            self.add(|story| {
                story.hosts.pop();
            });
        }
    }

    fn of_an_image(&mut self, number: usize) {
        self.add(|story| story.images[number].signatures.clear());
        let picked = self.story.entries.iter().any(|entry| !entry.platforms.is_empty());
        let named = self.story.entries.iter().any(|entry| entry.platform.is_some());
        if !picked && !named {
            self.add(|story| story.images[number].platforms.truncate(1));
        }
        self.add(|story| story.images[number].layers.truncate(1));
        self.add(|story| story.images[number].shared = None);
    }
}

type Quirk = fn(&mut Profile);

/// Takes one quirk away.
const QUIRKS: &[Quirk] = &[
    |profile| profile.silent = None,
    |profile| profile.mount = true,
    |profile| profile.ignores_mounts = false,
    |profile| profile.one_store = false,
    |profile| profile.refuses_mounts = None,
    |profile| profile.digest_header = true,
    |profile| profile.ranges = true,
    |profile| profile.referrers = true,
    |profile| profile.sparse = false,
    |profile| profile.missing = 404,
    |profile| profile.page = None,
    |profile| profile.locations = Default::default(),
    |profile| profile.rate = None,
    |profile| profile.pull_limit = None,
    |profile| profile.tags_are_digests = false,
    |profile| profile.unchecked = false,
    |profile| profile.whole_puts = true,
    |profile| profile.settles = Default::default(),
    |profile| profile.sessions = Profile::default().sessions,
];
