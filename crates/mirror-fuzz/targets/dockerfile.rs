//! Any bytes as a file of the tree: an image, or what is wrong with it and where.
#![no_main]

use mirror_tree::{Rules, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parsed = parse("docker.io/library/x/Dockerfile", bytes, &Rules::default());
    assert!(parsed.from.is_some() || !parsed.diagnostics.is_empty());
    for diagnostic in parsed.diagnostics {
        let text = diagnostic.source.as_deref().unwrap_or_default();
        assert!(diagnostic.span.is_none_or(|span| text.get(span).is_some()));
    }
});
