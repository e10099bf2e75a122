//! Whatever a registry answers: challenges, links, ranges, redirects, documents.
#![no_main]

#[path = "../../mirror-registry/tests/any_answer/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: (u8, &str)| script::act(data.0, data.1));
