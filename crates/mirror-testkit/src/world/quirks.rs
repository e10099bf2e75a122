//! Draws what registries are like: every quirk that the test kit knows is a dimension of its own.

use std::time::Duration;

use crate::auth::AuthProfile;
use crate::ecr::FakeEcr;
use crate::profile::{Locations, Profile};
use crate::world::dice::Dice;
use crate::world::faults::{AwsTrouble, Trouble};
use crate::world::link::Link;
use crate::world::story::{HostStory, Role};

/// The region of the account.
pub const REGION: &str = "eu-central-1";

/// Draws the registries.
pub(crate) fn hosts(dice: &mut Dice) -> Vec<HostStory> {
    let mut hosts = Vec::new();
    let mut sources = vec!["docker.io", "quay.example", "ghcr.example"];
    for _ in 0..dice.between(1, 3) {
        let name = sources.remove(dice.below(sources.len()));
        hosts.push(host(dice, name, Role::Source));
    }
    if dice.percent(20) {
        hosts.push(host(dice, "spare.example", Role::Alternative));
    }
    let registry = FakeEcr::name(REGION);
    let mut destinations = vec!["copy.example", "second.example", registry.as_str()];
    for _ in 0..*dice.one(&[0, 1, 1, 1, 2]) {
        let name = destinations.remove(dice.below(destinations.len()));
        hosts.push(host(dice, name, Role::Destination));
    }
    hosts
}

fn host(dice: &mut Dice, name: &str, role: Role) -> HostStory {
    let ecr = name == FakeEcr::name(REGION);
    let mut profile =
        if ecr { Profile { ecr: true, ..Profile::default() } } else { profile(dice, role) };
    let secret = (!ecr && dice.percent(if role == Role::Destination { 70 } else { 30 }))
        .then(|| (format!("user-at-{name}"), format!("password-of-{name}")));
    let authority = if name == "docker.io" { "registry-1.docker.io" } else { name };
    let own_realm = dice.percent(40);
    let realm = match &secret {
        _ if ecr => None,
        Some((user, password)) => {
            let basic = dice.percent(30);
            let realm = own_realm.then(|| format!("auth.{name}"));
            profile.auth = if basic {
                AuthProfile::Basic(user.clone(), password.clone())
            } else {
                bearer(dice, user, password, realm.as_deref())
            };
            realm.filter(|_| !basic)
        }
        None if dice.percent(60) && role != Role::Destination => {
            let realm = own_realm.then(|| format!("auth.{name}"));
            profile.auth = bearer(dice, "nobody", "nothing", realm.as_deref());
            realm
        }
        None => None,
    };
    if !matches!(profile.auth, AuthProfile::Bearer { .. }) && profile.missing == 401 {
        profile.missing = 404;
    }
    // Whoever is nobody gets a challenge, or can't be anybody.
    profile.silent = profile.silent.filter(|_| secret.is_some());
    let cdn = dice.perhaps(30, |_| format!("cdn.{name}"));
    profile.blob_redirect = cdn.as_ref().map(|cdn| format!("https://{cdn}"));
    HostStory {
        name: name.to_owned(),
        authority: authority.to_owned(),
        role,
        profile,
        secret,
        realm,
        cdn,
        link: link(dice),
        troubles: (0..*dice.one(&[0, 0, 1, 1, 2, 4])).map(|_| Trouble::draw(dice)).collect(),
        aws: match ecr {
            true => (0..*dice.one(&[0, 1, 2])).map(|_| AwsTrouble::draw(dice)).collect(),
            false => Vec::new(),
        },
        concurrency: dice.perhaps(30, |dice| *dice.one(&[1, 2, 4, 16])),
        lacks: if role == Role::Alternative { *dice.one(&[0, 50, 100]) } else { 0 },
    }
}

fn bearer(dice: &mut Dice, user: &str, password: &str, realm: Option<&str>) -> AuthProfile {
    AuthProfile::Bearer {
        user: user.to_owned(),
        password: password.to_owned(),
        anonymous_pull: user == "nobody" || dice.percent(30),
        lifetime: Duration::from_secs(*dice.one(&[60, 60, 300, 3600])),
        realm: realm.map(|realm| format!("https://{realm}/token")),
    }
}

fn profile(dice: &mut Dice, role: Role) -> Profile {
    let mut profile = Profile {
        token_services: false,
        silent: dice.perhaps(10, |dice| *dice.one(&[401, 403, 404])),
        mount: dice.percent(75),
        ignores_mounts: dice.percent(10),
        one_store: dice.percent(30),
        refuses_mounts: dice.perhaps(10, |dice| *dice.one(&[400, 403, 404, 405])),
        digest_header: dice.percent(85),
        ranges: dice.percent(80),
        referrers: dice.percent(60),
        sparse: dice.percent(50),
        missing: *dice.one(&[404, 404, 404, 404, 404, 404, 404, 403, 401]),
        page: dice.perhaps(20, |dice| *dice.one(&[1, 2, 10])),
        locations: *dice.one(&[
            Locations::Relative,
            Locations::Absolute,
            Locations::Absolute,
            Locations::WithoutTls,
        ]),
        rate: dice.perhaps(10, |dice| *dice.one(&[5, 20])),
        ..Profile::default()
    };
    match role {
        Role::Source | Role::Alternative => {
            profile.pull_limit =
                dice.perhaps(20, |dice| (dice.between(2, 30), *dice.one(&[120, 3600])));
            // Nobody counts pulls who makes others pull to learn a digest.
            profile.digest_header |= profile.pull_limit.is_some();
            profile.tags_are_digests = dice.percent(10);
        }
        Role::Destination => {
            profile.missing = 404;
            profile.unchecked = dice.percent(30);
            profile.whole_puts = dice.percent(85);
            if dice.percent(15) {
                profile.settles = dice.time(10, 2_000);
            }
            if dice.percent(15) {
                let most = dice.between(1, 4) as usize;
                profile.sessions = (most, dice.time(20_000, 600_000));
                let codes = ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "UNKNOWN"];
                profile.gone = codes[dice.below(codes.len())];
            }
        }
    }
    profile
}

fn link(dice: &mut Dice) -> Link {
    Link {
        latency: dice.time(1, 400),
        bandwidth: *dice.one(&[0, 0, 30_000, 200_000, 10_000_000]),
        slow: *dice.one(&[0, 0, 10, 30]),
        breaks: *dice.one(&[0, 0, 0, 20, 100]),
    }
}
