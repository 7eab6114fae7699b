//! The command line: one verb, one thing done, one exit code.

mod agent;
mod ban;
mod call;
mod config;
mod host;
mod hours;
mod music;
mod output;
mod queue;
mod recording;
mod run;
mod selftest;
mod simulate;
mod status;
mod target;
mod trunk;

use crate::{demo, error::Failure, log};
use clap::{Parser, Subcommand};
use output::{Format, Output, WhileRead};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use target::Target;
pub(crate) use target::host;

/// A telephony appliance: callers wait to music, reach one free agent, and are recorded.
#[derive(Debug, Parser)]
#[command(name = "clavija", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    target: Target,
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the appliance in the foreground.
    Run,
    /// The configuration: checked, compared, applied, gone back from.
    #[command(subcommand)]
    Config(config::Verb),
    /// What this host has to be for audio to be on time.
    #[command(subcommand)]
    Host(host::Verb),
    /// Starts an appliance of its own, places a real call through it and says what happened.
    Demo {
        /// Keep it running until Ctrl-C.
        #[arg(long)]
        stay: bool,
    },
    /// Has the running appliance call itself: tones, digits, hold and recording, step by step.
    Selftest,
    /// Says where a call would go and why, as if everybody were signed in; touches nothing.
    Simulate(simulate::Asked),
    /// What the running appliance is doing.
    Status,
    /// Calls.
    #[command(subcommand)]
    Call(call::Verb),
    /// Agents.
    #[command(subcommand)]
    Agent(agent::Verb),
    /// Sources that are not heard.
    #[command(subcommand)]
    Ban(ban::Verb),
    /// Trunks.
    #[command(subcommand)]
    Trunk(trunk::Verb),
    /// Queues.
    #[command(subcommand)]
    Queue(queue::Verb),
    /// When somebody is there.
    #[command(subcommand)]
    Hours(hours::Verb),
    /// Recordings.
    #[command(subcommand)]
    Recording(recording::Verb),
    /// What callers wait to.
    #[command(subcommand)]
    Music(music::Verb),
}

/// Everything `main` does.
pub fn main() -> ExitCode {
    // Usage errors end here with 2, help and version with 0.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without a stderr the exit code has to say it alone.
            let _unsaid = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { target, output, verb } = cli;
    let out = &mut Output::new(output);
    match verb {
        Verb::Run => run::run(&target),
        Verb::Config(verb) => match config::offline(verb, &target, out)? {
            None => Ok(()),
            Some(verb) => {
                ask(&target, async |client| config::run(verb, &target, client, out).await)
            }
        },
        Verb::Host(verb) => host::run(&verb, &target, out),
        Verb::Music(verb) => match music::offline(verb, out)? {
            None => Ok(()),
            Some(verb) => ask(&target, async |client| music::run(verb, client, out).await),
        },
        Verb::Demo { stay } => {
            log::init_quiet();
            many_threads()?.block_on(demo::run(stay, &mut WhileRead(io::stdout())))
        }
        Verb::Selftest => ask(&target, async |client| selftest::run(client, out).await),
        Verb::Simulate(asked) => simulate::run(&asked, &target, out),
        Verb::Status => ask(&target, async |client| status::status(client, out).await),
        Verb::Call(verb) => ask(&target, async |client| call::run(verb, client, out).await),
        Verb::Agent(verb) => ask(&target, async |client| agent::run(verb, client, out).await),
        Verb::Ban(verb) => ask(&target, async |client| ban::run(verb, client, out).await),
        Verb::Trunk(verb) => ask(&target, async |client| trunk::run(verb, client, out).await),
        Verb::Queue(verb) => ask(&target, async |client| queue::run(verb, client, out).await),
        Verb::Hours(verb) => ask(&target, async |client| hours::run(verb, client, out).await),
        Verb::Recording(verb) => match recording::offline(verb, &target, out)? {
            None => Ok(()),
            Some(verb) => ask(&target, async |client| recording::run(verb, client, out).await),
        },
    }
}

/// For the verbs that talk to a running appliance.
fn ask(
    target: &Target,
    verb: impl AsyncFnOnce(&crate::client::Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    log::init_quiet();
    let client = target.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(verb(&client))
}

fn many_threads() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_of_the_contract_that_this_version_serves_is_understood() {
        for line in [
            "run --config node.toml",
            "config check node.toml",
            "config diff",
            "config diff new.toml --against gen:7",
            "config apply new.toml --dry-run --confirm 10m",
            "config apply new.toml --at-restart",
            "config confirm",
            "config rollback",
            "config rollback 7",
            "config rollback --unconfirmed",
            "config history -o json",
            "config show --rendered",
            "config reload --wait",
            "config schema",
            "host check",
            "host check --pid 1 -o json",
            "demo",
            "demo --stay",
            "selftest",
            "selftest -o json",
            "status",
            "status -o json",
            "call list --config node.toml",
            "call show call-0000001d",
            "call hangup call-0000001d --url http://127.0.0.1:8080",
            "call hold call-0000001d",
            "call resume call-0000001d",
            "call record-pause call-0000001d",
            "call record-resume call-0000001d",
            "agent list",
            "agent show ana",
            "agent pause ana",
            "agent resume ana",
            "ban list",
            "ban lift 192.0.2.1",
            "trunk list",
            "trunk test pbx",
            "trunk test pbx -o json",
            "music check waltz.mp3",
            "music check waltz.mp3 -o json",
            "music check waltz.mp3 --gain-db -6",
            "music list -o json",
            "music put waltz new.mp3",
            "music reset waltz",
            "queue list -o table",
            "recording list",
            "recording get call-0000001d",
            "recording get data/recordings/call-0000001d.sealed --key old.key --to -",
            "recording verify call-0000001d",
            "recording verify call-0000001d.sealed -o json",
        ] {
            let words = ["clavija"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_a_usage_error() {
        for line in [
            "",
            "walk",
            "call",
            "call show",
            "trunk test",
            "config check",
            "music check",
            "music check waltz.mp3 --gain-db 13",
            "music put waltz",
            "config apply",
            "config diff --against yesterday",
            "config apply x --confirm soon",
            "status -o yaml",
            "status --url 127.0.0.1:8080",
        ] {
            let words = ["clavija"].into_iter().chain(line.split_whitespace());
            let refused = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_help_begins_with_what_the_appliance_is() {
        let help = Cli::command().render_help().to_string();

        assert!(help.starts_with("A telephony appliance: callers wait to music"), "{help}");
    }

    #[test]
    fn the_commands_are_put_together_soundly() {
        Cli::command().debug_assert();
    }
}
