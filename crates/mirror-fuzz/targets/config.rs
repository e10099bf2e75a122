//! Any text as `mirror.toml`: a configuration, or problems that say where.
#![no_main]

use mirror_plan::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(text) {
        assert!(!problems.is_empty());
        for problem in problems {
            let inside = problem.span.is_none_or(|span| text.get(span).is_some());
            assert!(inside && !problem.message.is_empty());
        }
    }
});
