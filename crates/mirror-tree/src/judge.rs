//! What is legal in a reference and will surprise somebody, or is demanded by the configuration.

use std::ops::Range;

use mirror_oci::{Reference, Version};

use crate::diagnostic::{Code, Fix};
use crate::dockerfile::Notes;
use crate::line::name_of;
use crate::names::{is_docker_hub_alias, look_alike, moved_to, written_host};
use crate::rules::Rules;
use crate::untracked::untracked;
use crate::version::{Reading, RenovateTag};

impl Notes<'_> {
    pub(crate) fn version(
        &mut self,
        reference: &Reference,
        span: &Range<usize>,
        rules: &Rules,
    ) -> Option<Version> {
        let name = reference.name.familiar();
        let Some(version) = reference.version() else {
            let problem =
                self.add(Code::MissingTag, Some(span.clone()), "the reference has no tag");
            problem.help = Some(format!(
                "name the version: `FROM {name}:<tag>`, best with its digest behind it"
            ));
            return None;
        };
        match &version {
            Version::Pinned(pinned) if pinned.tag.is_none() && !rules.allow_digest_only => {
                let message =
                    "a digest without a tag can't be updated: no bot knows which tag it came from";
                self.add(Code::DigestWithoutTag, Some(span.clone()), message).help = Some(format!(
                    "write `FROM {name}:<tag>@{}`, or set `allow_digest_only = true` under [check] in mirror.toml",
                    pinned.digest
                ));
                return None;
            }
            Version::Pinned(pinned)
                if pinned.digest.algorithm() == mirror_oci::Algorithm::Sha512 =>
            {
                self.add(
                    Code::Sha512Digest,
                    Some(span.clone()),
                    "Dependabot passes over SHA-512 digests in silence",
                )
                .help =
                    Some("use the image's sha256 digest, if its registry has it under one".into());
            }
            Version::Floating(_) if rules.require_digest => {
                self.add(
                    Code::DigestRequired,
                    Some(span.clone()),
                    "mirror.toml demands a digest, this reference has none",
                )
                .help = Some(
                    "append `@sha256:…`; `skopeo inspect --format '{{.Digest}}'` prints it".into(),
                );
                return None;
            }
            Version::Floating(tag) if Reading::of(tag.as_str()).floats() => {
                let message = format!(
                    "`{tag}` moves: what is mirrored changes without a commit, and no bot proposes it"
                );
                let at = span.end - tag.as_str().len()..span.end;
                self.add(Code::FloatingTag, Some(at), message).help =
                    Some("name a version, or append the digest: `tag@sha256:…`".into());
            }
            _ => {}
        }
        Some(version)
    }

    /// A tag that goes stale in silence.
    pub(crate) fn untracked(
        &mut self,
        reference: &Reference,
        written: &str,
        span: &Range<usize>,
        rules: &Rules,
    ) {
        let Some(tag) = &reference.tag else { return };
        let why = untracked(name_of(written), tag.as_str(), rules.bots);
        let Some(why) = why else { return };
        let digest = reference.digest.as_ref().map_or(0, |digest| digest.to_string().len() + 1);
        let end = span.end - digest;
        self.add(Code::UntrackedTag, Some(end - tag.as_str().len()..end), why.message(tag.as_str())).help = Some(
            "use a tag with nothing but its version, or a suffix without number, if upstream has one; \
             `mirror outdated` lists newer tags"
                .into(),
        );
    }

    pub(crate) fn registry(
        &mut self,
        reference: &Reference,
        written: &str,
        span: &Range<usize>,
        rules: &Rules,
    ) {
        let registry = &reference.name.registry;
        if !registry.host().contains(['.', ':']) {
            let at = span.start..span.start + registry.as_str().len();
            self.add(
                Code::UndottedRegistry,
                Some(at),
                "Dependabot takes a registry without a dot for a folder of docker.io",
            )
            .help = Some("use a name with a dot, such as 127.0.0.1 or a full host name".into());
        }
        let name = name_of(written);
        let at = span.start..span.start + name.len();
        let host = written_host(written).unwrap_or_default();
        let familiar = familiar(written, host);
        if is_docker_hub_alias(host) {
            let message = format!("`{host}` is Docker Hub, which references call docker.io");
            self.spelling(Code::DockerHubAlias, at, message, familiar);
        } else if let Some(known) = look_alike(host) {
            let message = format!("`{host}` looks like {known}, and is another host");
            let at = span.start..span.start + host.len();
            self.add(Code::LookAlikeHost, Some(at), message).help =
                Some(format!("write {known}, unless {host} is what you mean"));
        } else if let Some((from, to)) = moved_to(name) {
            let message = format!("`{from}` is frozen: its images have moved to {to}");
            let moved = written.replacen(from, to, 1);
            let at = span.start..span.start + from.len();
            self.add(Code::MovedRegistry, Some(at), message).help =
                Some(format!("run `mirror add {moved}`, then `mirror remove {written}`"));
        } else if rules.bots.renovate && reads_otherwise(&familiar, written) {
            let message =
                "Renovate reads the tags of this image in its own way by its short name alone";
            self.spelling(Code::SpelledOut, at, message.to_owned(), familiar);
        }
    }

    /// A name that has a better spelling.
    fn spelling(&mut self, code: Code, at: Range<usize>, message: String, better: String) {
        let problem = self.add(code, Some(at.clone()), message);
        problem.help = Some(format!("write `{better}`"));
        problem.fix = Some(Fix::Replace { span: at, text: better });
    }
}

/// The name of a reference as most people write it.
fn familiar(written: &str, host: &str) -> String {
    let name = name_of(written);
    let inside = name.strip_prefix(host).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let hub = host.is_empty() || host == "docker.io" || is_docker_hub_alias(host);
    match (hub, inside.strip_prefix("library/")) {
        (true, Some(official)) if !official.contains('/') => official.to_owned(),
        (true, _) => inside.to_owned(),
        (false, _) => name.to_owned(),
    }
}

/// Whether Renovate takes another version from a tag by another spelling of the name.
fn reads_otherwise(familiar: &str, written: &str) -> bool {
    let bare = written.split_once('@').map_or(written, |(bare, _)| bare);
    let Some((name, tag)) = bare.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else {
        return false;
    };
    let read = |name: &str| RenovateTag::of(name, tag);
    name != familiar && read(name) != read(familiar)
}
