use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::Pair;

#[test]
fn every_defect_is_found() {
    let image = ImageBuilder::new("v").platforms(&["linux/amd64", "linux/arm64"]).build();
    let pair = Pair::new(&[
        ("library/app", "1", &image),
        ("library/other", "1", &ImageBuilder::new("o").build()),
    ]);
    let absent = pair.project.mirror(&["verify"]).ends_with(1).run();
    crate::reads(
        &absent.stdout,
        expect![[r#"
        missing: docker.io/library/app:1 at prod: it is not there
        missing: docker.io/library/other:1 at prod: it is not there
        verified: 0 of 2 images whole; 2 defects
          help: `mirror apply` copies what is missing
    "#]],
    );
    pair.project.mirror(&["apply"]).run();
    pair.source.take_requests();
    let whole = pair.project.mirror(&["verify", "--deep"]).run();
    assert_eq!(whole.stdout, "verified: 2 of 2 images whole\n");
    assert_eq!(pair.source.take_requests(), [], "sources are not asked");

    let layer = &image.blobs[0].0;
    pair.destination.spoil(layer);
    pair.project.mirror(&["verify"]).run();
    let deep = pair.project.mirror(&["verify", "--deep"]).ends_with(1).run();
    crate::reads(
        &deep.stdout,
        expect![[r#"
        damaged: docker.io/library/app:1 at prod: blob sha256:c6570f5667a0 (300 B) content has digest sha256:d13d4a8b3b8add19b5970157f09d00c12cbda4fed4d74d8493156523f7069b66, expected sha256:c6570f5667a0f0150fd92ed5aaa168118ffc4db63b72f5bd832fd5906e8daa78 (sha256:c6570f5667a0f0150fd92ed5aaa168118ffc4db63b72f5bd832fd5906e8daa78)
        verified: 1 of 2 images whole; 1 defect
    "#]],
    );

    pair.destination.lose("docker.io/library/app", layer);
    pair.destination.lose("docker.io/library/app", &image.manifests[1].digest);
    let ran = pair.project.mirror(&["verify", "--format", "json"]).ends_with(1).run();
    let found: mirror_plan::report::Verification = serde_json::from_str(&ran.stdout).unwrap();
    let defects: Vec<_> =
        found.defects.iter().map(|defect| defect.digest.clone().unwrap()).collect();
    assert_eq!(defects, [image.manifests[1].digest.clone(), layer.clone()]);
    assert_eq!((found.whole, found.images), (1, 2));
}

#[test]
fn a_pinned_image_must_have_its_digest() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[]);
    pair.destination.add("docker.io/library/app", "1", &old);
    pair.project.entry(&format!("app:1@{}", new.digest()));
    let ran = pair.project.mirror(&["verify"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        damaged: docker.io/library/app:1 at prod: it is sha256:23ca9f72109d1815dd61717df9a0956f55e950a89b132039efd67effcbd84fdd, the tree wants sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
        verified: 0 of 1 image whole; 1 defect
    "#]],
    );
}

#[test]
fn image_layouts_too() {
    let image = ImageBuilder::new("l").platforms(&["linux/amd64"]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &config);
    pair.project.mirror(&["apply"]).run();
    pair.project.mirror(&["verify", "--deep"]).run();
    let blob = pair.project.path().join("mirror-store/blobs/sha256").join(image.blobs[0].0.hex());
    std::fs::write(&blob, vec![0; image.blobs[0].1.len()]).unwrap();
    pair.project.mirror(&["verify"]).run();
    let deep = pair.project.mirror(&["verify", "--deep"]).ends_with(1).run();
    crate::reads(
        &deep.stdout,
        expect![[r#"
        damaged: docker.io/library/app:1 at mirror-store: blob sha256:caf5e275291c (300 B) content has digest sha256:d13d4a8b3b8add19b5970157f09d00c12cbda4fed4d74d8493156523f7069b66, expected sha256:caf5e275291c1fa45698b8bc557772ca0f443e22ecb138fdc2f32ed062a142fe (sha256:caf5e275291c1fa45698b8bc557772ca0f443e22ecb138fdc2f32ed062a142fe)
        verified: 0 of 1 image whole; 1 defect
    "#]],
    );
    std::fs::remove_file(&blob).unwrap();
    let ran = pair.project.mirror(&["verify"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        missing: docker.io/library/app:1 at mirror-store: blob sha256:caf5e275291c (300 B) is missing or cut off (sha256:caf5e275291c1fa45698b8bc557772ca0f443e22ecb138fdc2f32ed062a142fe)
        verified: 0 of 1 image whole; 1 defect
          help: `mirror apply --repair` puts back what is missing
    "#]],
    );
}

/// Without a tag, the digest of one platform's manifest is all that leads to it, and the tree has that of the index.
#[test]
fn one_platform_without_a_tag() {
    let image = ImageBuilder::new("p").platforms(&["linux/amd64", "linux/arm64"]).build();
    let single = ImageBuilder::new("s").build();
    let pair = Pair::new(&[("library/app", "1", &image), ("library/single", "1", &single)]);
    let config = |destination: &str| {
        format!(
            "[check]\nallow_digest_only = true\n[[destination]]\nname = \"d\"\n{destination}\n\
             [registry.\"docker.io\"]\nendpoint = \"{}\"\n",
            pair.source.endpoint()
        )
    };
    std::fs::remove_dir_all(pair.project.path().join("images/docker.io")).unwrap();
    for (name, digest) in [("app", image.digest()), ("single", single.digest())] {
        let from = format!("FROM --platform=linux/amd64 {name}@{digest}\n");
        pair.project.write(&format!("images/docker.io/library/{name}/Dockerfile"), &from);
    }
    let registry = format!("registry = \"{}\"", pair.destination.host());
    for destination in ["layout = \"./store\"", registry.as_str()] {
        pair.project.write("images/mirror.toml", &config(destination));
        pair.project.mirror(&["apply"]).run();
        let ran = pair.project.mirror(&["verify", "--deep"]).run();
        assert_eq!(ran.stdout, "verified: 2 of 2 images whole\n");
    }
}
