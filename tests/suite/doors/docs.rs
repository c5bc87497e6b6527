//! Do the commands of the documentation work as they are written?

use std::process::Command;

use tokio::task::spawn_blocking;

use crate::support::{Gateway, ONE_MODEL};

/// The commands of curl in a page.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split_once("```"));
    let commands = blocks.map(|(command, _)| command.trim().to_owned());
    commands
        .filter(|command| command.starts_with("curl "))
        .collect()
}

#[tokio::test]
async fn each_command_of_curl_in_the_documentation_is_answered() {
    let gateway = Gateway::start(&ONE_MODEL.replace("scenarios.one", "scenarios.general")).await;
    let pages = [
        include_str!("../../../docs/json-and-web.md"),
        include_str!("../../../README.md"),
    ];
    let commands: Vec<_> = pages.iter().flat_map(|page| commands(page)).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let here = command.replace("127.0.0.1:50051", &gateway.address.to_string());
        assert_ne!(here, command);
        let run = move || Command::new("sh").arg("-c").arg(&here).output().unwrap();
        let ran = spawn_blocking(run).await.unwrap();
        if ran.status.code() == Some(127) {
            println!("skipped: there is no curl");
            return;
        }

        let told = String::from_utf8(ran.stdout).unwrap();

        let expected = match (command.contains("generl"), command.contains("/v1/stream")) {
            (true, _) => "SCENARIO_NOT_FOUND",
            (false, true) => "event: completed\n",
            (false, false) => "\"finishReason\":\"FINISH_REASON_STOP\"",
        };
        assert!(told.contains(expected), "{command}\n{told}");
    }
}
