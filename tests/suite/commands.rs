//! What do commands do? The program itself is run; what asks a service is run against one and its simulator.

mod call;
mod check;
mod data;
mod explain;
mod health;
mod live;
mod options;
mod unwritten;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::support::program;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the program to its end, elsewhere than on the runtime's thread.
pub(crate) async fn run(arguments: &[&str]) -> Done {
    let mut command = program();
    command.args(arguments);
    finish(command, b"").await
}

/// Runs a command to its end with this on its standard input.
pub(crate) async fn finish(mut command: Command, input: &[u8]) -> Done {
    let input = input.to_vec();
    let work = move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // The program may not read it.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Done::of(output)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}
