//! Puts images where they come from, and does what others do meanwhile.

use bytes::Bytes;
use mirror_oci::{Algorithm, Digest, media_type};
use serde_json::{Value, json};

use crate::image::{Image, StoredManifest};
use crate::registry::Registry;
use crate::world::acts::Act;
use crate::world::dice::Dice;
use crate::world::inside::World;
use crate::world::story::{HostStory, ImageStory, Role, Signature};

/// Puts all images at their sources, and parts of them at whatever stands in for those.
pub(crate) fn fill(world: &World) {
    for image in &world.story.images {
        publish(world.registry_of(world.story.host_of(image)), image);
    }
    for other in world.story.hosts.iter().filter(|host| host.role == Role::Alternative) {
        let mut dice = Dice::of(world.story.seed, "alternative");
        for image in &world.story.images {
            let (built, registry) = (image.build(), world.registry_of(other));
            registry.add(&image.repository, &image.tag, &built);
            let blobs = built.blobs.iter().map(|(digest, _)| digest);
            for digest in blobs.chain(built.manifests.iter().map(|manifest| &manifest.digest)) {
                if dice.percent(other.lacks) {
                    registry.lose(&image.repository, digest);
                }
            }
        }
    }
}

/// Puts an image at a registry, with what belongs to it.
pub fn publish(registry: &Registry, image: &ImageStory) {
    let built = image.build();
    registry.add(&image.repository, &image.tag, &built);
    for (number, signature) in image.signatures.iter().enumerate() {
        let seed = format!("{} signature {number}", image.seed);
        sign(registry, &image.repository, built.digest(), *signature, &seed);
    }
}

/// Signs what is there; gives the tag or digest that it is under, and the digest.
fn sign(
    registry: &Registry,
    repository: &str,
    digest: &Digest,
    signature: Signature,
    seed: &str,
) -> Option<(String, Digest)> {
    let signed = registry.manifest(repository, digest.as_str())?;
    let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
    let subject = (signature != Signature::Tag).then(|| descriptor(&signed));
    let made = signature_image(seed, subject);
    let own = made.digest().clone();
    match signature {
        Signature::Tag => {
            let tag = format!("{tag}.sig");
            registry.add(repository, &tag, &made);
            Some((tag, own))
        }
        Signature::Subject => {
            registry.add_untagged(repository, &made);
            Some((own.to_string(), own))
        }
        Signature::Fallback => {
            registry.add_untagged(repository, &made);
            let before = registry.manifest(repository, &tag);
            let before: Value = before
                .and_then(|index| serde_json::from_slice(&index.bytes).ok())
                .unwrap_or_default();
            let mut entries = before["manifests"].as_array().cloned().unwrap_or_default();
            entries.push(descriptor(made.manifests.last()?));
            let index = json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries,
            });
            let bytes = Bytes::from(index.to_string());
            registry.add_manifest(repository, &tag, media_type::OCI_INDEX, bytes);
            Some((own.to_string(), own))
        }
    }
}

fn descriptor(manifest: &StoredManifest) -> Value {
    json!({
        "mediaType": manifest.media_type, "digest": manifest.digest.as_str(),
        "size": manifest.bytes.len(),
    })
}

fn signature_image(seed: &str, subject: Option<Value>) -> Image {
    let blob = |text: String| {
        let bytes = Bytes::from(text);
        (Digest::of(Algorithm::Sha256, &bytes), bytes)
    };
    let (config, layer) = (blob("{}".to_owned()), blob(format!("signed: {seed}")));
    let named = |kind: &str, blob: &(Digest, Bytes)| json!({ "mediaType": kind, "digest": blob.0.as_str(), "size": blob.1.len() });
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": named("application/vnd.oci.empty.v1+json", &config),
        "layers": [named("application/vnd.example.signature", &layer)],
    });
    if let Some(subject) = subject {
        manifest["subject"] = subject;
    }
    let bytes = Bytes::from(manifest.to_string());
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let manifest =
        StoredManifest { digest, media_type: media_type::OCI_MANIFEST.to_owned(), bytes };
    Image { blobs: vec![config, layer], manifests: vec![manifest] }
}

/// Where the copy of an entry is at a registry.
pub(crate) fn place_of(world: &World, entry: usize) -> (String, String) {
    let entry = &world.story.entries[entry];
    let image = &world.story.images[entry.image];
    (format!("{}/{}", world.story.host_of(image).name, image.repository), image.tag.clone())
}

/// Does what somebody does.
pub(crate) fn act(world: &World, act: &Act) {
    match *act {
        Act::Move(image) => {
            let mut moved = world.story.images[image].clone();
            moved.seed += "-moved";
            publish(world.registry_of(world.story.host_of(&moved)), &moved);
            let mut kept = world.lock();
            kept.deleted.remove(&image);
            kept.moved.insert(image, moved);
        }
        Act::Delete(image) => {
            let story = &world.story.images[image];
            let registry = world.registry_of(world.story.host_of(story));
            registry.delete_tag(&story.repository, &story.tag);
            world.lock().deleted.insert(image);
        }
        Act::SignUpstream(image) => {
            let Some(story) = world.upstream(image) else { return };
            let registry = world.registry_of(world.story.host_of(&story));
            let (built, seed) = (story.build(), format!("{} late", story.seed));
            sign(registry, &story.repository, built.digest(), Signature::Tag, &seed);
        }
        Act::Tag { host, entry } => tag(world, &world.story.hosts[host], entry),
        Act::Sign { host, entry } => sign_copy(world, &world.story.hosts[host], entry),
        Act::Lose { host, entry } => lose(world, &world.story.hosts[host], entry),
    }
}

fn tag(world: &World, host: &HostStory, entry: usize) {
    let (repository, _) = place_of(world, entry);
    let registry = world.registry_of(host);
    if !registry.has_repository(&repository) {
        return;
    }
    let image = crate::image::ImageBuilder::new(format!("company {entry}")).build();
    let tag = format!("company-{entry}");
    registry.add(&repository, &tag, &image);
    let theirs = (host.authority.clone(), repository, tag, image.digest().clone());
    world.lock().theirs.push(theirs);
}

fn sign_copy(world: &World, host: &HostStory, entry: usize) {
    let (repository, tag) = place_of(world, entry);
    let registry = world.registry_of(host);
    let Some(copy) = registry.manifest(&repository, &tag) else { return };
    let mut dice = Dice::of(world.story.seed, &format!("signature of {repository}"));
    let kind = match (dice.percent(50), host.profile.referrers) {
        (true, _) => Signature::Tag,
        (false, true) => Signature::Subject,
        (false, false) => Signature::Fallback,
    };
    let cosign = format!("{}-{}.sig", copy.digest.algorithm().name(), copy.digest.hex());
    if kind == Signature::Tag && registry.manifest(&repository, &cosign).is_some() {
        // It would have to be added to what is there.
        return;
    }
    let signed = sign(registry, &repository, &copy.digest, kind, &format!("company {entry}"));
    if let Some((under, digest)) = signed {
        let mut kept = world.lock();
        kept.theirs.push((host.authority.clone(), repository, under, digest));
    }
}

fn lose(world: &World, host: &HostStory, entry: usize) {
    let (repository, tag) = place_of(world, entry);
    let registry = world.registry_of(host);
    let Some(copy) = registry.manifest(&repository, &tag) else { return };
    let document: Value = serde_json::from_slice(&copy.bytes).unwrap_or_default();
    let part = document["layers"][0]["digest"].as_str();
    let part = part.or(document["config"]["digest"].as_str());
    let part = part.or(document["manifests"][0]["digest"].as_str());
    let Some(digest) = part.and_then(|part| part.parse::<Digest>().ok()) else { return };
    registry.lose(&repository, &digest);
    let lost = (host.authority.clone(), repository, digest.to_string());
    world.lock().lost.insert(lost);
}
