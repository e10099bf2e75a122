//! Our entries in anybody's `dependabot.yml` and `renovate.json`: what was YAML or JSON stays so, and a second time changes
//! nothing.
#![no_main]

use mirror_plan::bots::BotRules;
use mirror_plan::config::Config;
use mirror_tree::{Entry, Rules, parse};
use saphyr::{LoadableYamlNode, Yaml};

fn entry() -> Option<Entry> {
    let (file, text) = ("docker.io/library/postgres/13/Dockerfile", "FROM postgres:13.6\n");
    let from = parse(file, text.as_bytes(), &Rules::default()).from?;
    let (file, source) = (file.to_owned(), text.into());
    let (name, version, span) = (from.name, from.version, from.span);
    Some(Entry { file, name, version, platform: None, span, source })
}

libfuzzer_sys::fuzz_target!(|existing: &str| {
    let entries: Vec<Entry> = entry().into_iter().collect();
    let rules = BotRules::new("images", &entries, &Config::default());
    if let Ok(written) = rules.dependabot(Some(existing)) {
        if Yaml::load_from_str(existing).is_ok() {
            assert!(Yaml::load_from_str(&written).is_ok(), "{written}");
        }
        // Of what no person writes, the second look may refuse what the first took; nothing is lost by that.
        if let Ok(again) = rules.dependabot(Some(&written)) {
            assert_eq!(again, written);
        }
    }
    if let Ok(written) = rules.renovate(Some(existing), None) {
        assert_eq!(rules.renovate(Some(&written), None).as_ref(), Ok(&written));
    }
});
