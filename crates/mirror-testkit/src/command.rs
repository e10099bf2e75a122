//! The command line under test, in an environment that holds nothing it wasn't given.

use std::path::Path;
use std::process::{Command, Stdio};

/// A call of the binary.
pub struct Mirror {
    command: Command,
    expected: i32,
}

/// What came of a call.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Mirror {
    /// A call of `binary` in `folder`, which is its home as well.
    pub fn new(binary: &str, folder: &Path, arguments: &[&str]) -> Mirror {
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
        command.env("HOME", folder).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Mirror { command, expected: 0 }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Mirror {
        self.command.env(name, value);
        self
    }

    /// Declares that the call ends with this code. Anything else than the declared code, 0 by default, fails the test.
    #[must_use]
    pub fn ends_with(mut self, code: i32) -> Mirror {
        self.expected = code;
        self
    }

    /// The command itself, for tests that need the process.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it.
    pub fn run(mut self) -> Ran {
        let output = self.command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        assert_eq!(
            code,
            Some(self.expected),
            "{:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
            self.command
        );
        Ran { stdout, stderr }
    }
}
