//! The test registry on a loopback port, for clients that are not ours: prints where it is, and serves until its standard
//! input ends.
#![expect(clippy::print_stdout, reason = "a program for scripts")]

use std::io::Read;

use mirror_testkit::Registry;

fn main() {
    let registry = Registry::start();
    println!("{}", registry.host());
    // Whatever is read, the end is what is waited for.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
