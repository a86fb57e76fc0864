//! Tests credentials of every kind, right and wrong ones.

use std::path::{Path, PathBuf};
use std::time::Instant;

use async_nats::ConnectOptions;
use async_nats::jetstream::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;

use super::programs::logged;
use super::{LONG, pause, put, tests};
use crate::common::printer;
use crate::nats_server::Server;
use crate::program::Program;
use crate::record::{Failure, tail};

tests!(
    users_tokens_and_nkeys_are_accepted_and_wrong_ones_are_told_apart,
    credentials_file_is_accepted_and_a_wrong_or_expired_one_is_told,
    user_without_rights_is_told_what_to_check,
    credentials_that_a_server_no_longer_accepts_are_tried_again_until_it_does,
);

/// Secrets that no log may contain.
const SECRETS: [&str; 4] = ["hunter2", "swordfish", "SUA", "wrong-one"];

/// One way to start kvwatch.
pub(super) struct Start<'a> {
    pub(super) from: &'a str,
    pub(super) arguments: &'a [&'a str],
    pub(super) variables: &'a [(&'a str, &'a str)],
}

impl<'a> Start<'a> {
    pub(super) fn of(from: &'a str, arguments: &'a [&'a str], variables: &'a [(&'a str, &'a str)]) -> Self {
        Self { from, arguments, variables }
    }

    /// A program whose log is still empty.
    fn program(&self, folder: &Path) -> Result<Program, Failure> {
        let _ = std::fs::remove_file(folder.join("log"));
        let arguments = [&["watcher.wasm", "--from", self.from, "--name", "audit"], self.arguments].concat();
        Program::start_with(folder, &arguments, self.variables.iter().copied())
    }

    /// It watches, and an event comes.
    pub(super) async fn works(&self, folder: &Path, context: &Context) -> Result<(), Failure> {
        let mut program = self.program(folder)?;
        logged(folder, "\"message\":\"watching\"").await?;
        handles(folder, context).await?;
        program.signal("-TERM")?;
        match program.end().await? {
            0 => has_no_secret(folder),
            code => Err(format!("exit code {code}\n{}", tail(folder)).into()),
        }
    }

    /// It ends by itself with this code, and the log has these texts.
    pub(super) async fn is_refused(&self, folder: &Path, code: i32, due: &[&str]) -> Result<(), Failure> {
        let ended = self.program(folder)?.end().await?;
        let log = std::fs::read_to_string(folder.join("log"))?;
        if ended != code || !due.iter().all(|due| log.contains(due)) {
            return Err(format!("exit code {ended}, {code} and {due:?} are due:\n{log}").into());
        }
        has_no_secret(folder)
    }
}

/// A new event comes to the watcher.
pub(super) async fn handles(folder: &Path, context: &Context) -> Result<(), Failure> {
    let sequence = put(context, "k", "v").await?;
    let begun = Instant::now();
    loop {
        if let Ok(info) = context.get_stream("KV_b").await?.consumer_info("audit").await
            && info.ack_floor.stream_sequence >= sequence
        {
            return Ok(());
        }
        if begun.elapsed() > LONG {
            return Err(format!("the event does not come\n{}", tail(folder)).into());
        }
        pause(50).await;
    }
}

fn has_no_secret(folder: &Path) -> Result<(), Failure> {
    let log = std::fs::read_to_string(folder.join("log"))?;
    match SECRETS.iter().find(|secret| log.contains(**secret)) {
        None => Ok(()),
        Some(secret) => Err(format!("the log has the secret {secret}:\n{log}").into()),
    }
}

/// A folder with a watcher.
pub(super) fn folder() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("watcher.wasm"), printer("stdout", b"seen\n", 1))?;
    Ok(folder)
}

fn file(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

fn user() -> ConnectOptions {
    ConnectOptions::new().user_and_password("ada".into(), "hunter2".into())
}

/// The arguments, the variables, and the texts that the log must have.
type Wrong<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], [&'a str; 2]);

async fn users_tokens_and_nkeys_are_accepted_and_wrong_ones_are_told_apart() -> Result<(), Failure> {
    let key = KeyPair::new_user();
    let (seed, stranger) = (key.seed()?, KeyPair::new_user().seed()?);
    let users =
        format!("authorization {{ users = [ {{user: ada, password: hunter2}}, {{nkey: {}}} ] }}", key.public_key());
    let server = Server::configured(&users, user()).await?;
    let context = server.bucket("b", 10).await?;
    let from = format!("{}/b", server.url());
    let folder = folder()?;
    let folder = folder.path();
    file(folder, "right", "hunter2\n")?;
    file(folder, "wrong", "swordfish")?;
    file(folder, "seed", &seed)?;
    file(folder, "stranger", &stranger)?;
    file(folder, "no-seed", "wrong-one")?;
    Start::of(&from, &["--user", "ada", "--password-file", "right"], &[]).works(folder, &context).await?;
    Start::of(&from, &["--user", "ada"], &[("KVWATCH_PASSWORD", "hunter2")]).works(folder, &context).await?;
    Start::of(&from, &["--nkey-file", "seed"], &[]).works(folder, &context).await?;
    Start::of(&from, &[], &[("KVWATCH_NKEY", &seed)]).works(folder, &context).await?;
    let violation = "authorization violation";
    // This is also true with --wait, because only a change by the user can help.
    let wrong: [Wrong<'_>; 7] = [
        (&["--user", "ada", "--password-file", "wrong"], &[], ["the user ada of --user", violation]),
        (&["--user", "ada", "--wait"], &[("KVWATCH_PASSWORD", "swordfish")], ["the user ada of --user", violation]),
        (&["--nkey-file", "stranger"], &[], ["--nkey-file", violation]),
        (&["--nkey-file", "no-seed"], &[], ["--nkey-file", "cannot sign"]),
        (&[], &[], ["a connection without credentials", "add --credentials"]),
        (&["--wait"], &[], ["a connection without credentials", "add --credentials"]),
        (&[], &[("KVWATCH_TOKEN", "swordfish")], ["the token of --token-file or KVWATCH_TOKEN", violation]),
    ];
    for (arguments, variables, due) in wrong {
        Start::of(&from, arguments, variables).is_refused(folder, 1, &due).await?;
    }
    let token = ConnectOptions::new().token("hunter2".into());
    let server = Server::configured("authorization { token: hunter2 }", token).await?;
    let context = server.bucket("b", 10).await?;
    let from = format!("{}/b", server.url());
    Start::of(&from, &["--token-file", "right"], &[]).works(folder, &context).await?;
    Start::of(&from, &[], &[("KVWATCH_TOKEN", "hunter2")]).works(folder, &context).await?;
    Start::of(&from, &["--token-file", "wrong"], &[]).is_refused(folder, 1, &["--token-file", violation]).await
}

/// The claims of a JSON Web Token of NATS, signed.
fn token(issuer: &KeyPair, subject: &str, nats: &serde_json::Value, expires: Option<u64>) -> Result<String, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let mut claims = serde_json::json!({
        "jti": subject, "iat": now - 1000, "iss": issuer.public_key(), "sub": subject, "name": "test", "nats": nats,
    });
    if let Some(ago) = expires {
        claims["exp"] = (now - ago).into();
    }
    let header = serde_json::json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes())?);
    Ok(format!("{text}.{signature}"))
}

fn credentials(account: &KeyPair, expires: Option<u64>) -> Result<String, Failure> {
    let user = KeyPair::new_user();
    let rights = serde_json::json!({
        "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
    });
    let token = token(account, &user.public_key(), &rights, expires)?;
    Ok(format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()?
    ))
}

async fn credentials_file_is_accepted_and_a_wrong_or_expired_one_is_told() -> Result<(), Failure> {
    let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let mut limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_system = serde_json::json!({ "limits": limits, "type": "account", "version": 2 });
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        limits[limit] = (-1).into();
    }
    let of_operator = serde_json::json!({ "type": "operator", "version": 2 });
    let of_account = serde_json::json!({ "limits": limits, "type": "account", "version": 2 });
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        token(&operator, &operator.public_key(), &of_operator, None)?,
        system.public_key(),
        system.public_key(),
        token(&operator, &system.public_key(), &of_system, None)?,
        account.public_key(),
        token(&operator, &account.public_key(), &of_account, None)?,
    );
    let right = credentials(&account, None)?;
    let server = Server::configured(&config, ConnectOptions::with_credentials(&right)?).await?;
    let context = server.bucket("b", 10).await?;
    let from = format!("{}/b", server.url());
    let folder = folder()?;
    let folder = folder.path();
    for (name, text) in [
        ("right.creds", right),
        ("stranger.creds", credentials(&KeyPair::new_account(), None)?),
        ("expired.creds", credentials(&account, Some(100))?),
        ("none.creds", "hunter2".into()),
    ] {
        file(folder, name, &text)?;
    }
    Start::of(&from, &["--credentials", "right.creds"], &[]).works(folder, &context).await?;
    for name in ["stranger.creds", "expired.creds"] {
        let due = [&*format!("the credentials of --credentials {name}"), "check that the file"];
        Start::of(&from, &["--credentials", name], &[]).is_refused(folder, 1, &due).await?;
    }
    for name in ["none.creds", "missing.creds"] {
        Start::of(&from, &["--credentials", name], &[]).is_refused(folder, 2, &["--credentials", name]).await?;
    }
    Ok(())
}

async fn user_without_rights_is_told_what_to_check() -> Result<(), Failure> {
    let config = "authorization { users = [ {user: ada, password: hunter2}, \
        {user: bob, password: hunter2, permissions: {publish: {deny: [\"$JS.API.>\"]}}} ] }";
    let server = Server::configured(config, user()).await?;
    server.bucket("b", 10).await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    let variables = [("KVWATCH_PASSWORD", "hunter2")];
    let start = Start { from: &from, arguments: &["--user", "bob"], variables: &variables };
    start.is_refused(folder, 1, &["look up the bucket `b`", "may use JetStream", "ermissions Violation"]).await
}

/// A running program continues when the mistake is corrected.
async fn credentials_that_a_server_no_longer_accepts_are_tried_again_until_it_does() -> Result<(), Failure> {
    let config = |password| format!("authorization {{ user: ada, password: {password} }}");
    let mut server = Server::configured(&config("hunter2"), user()).await?;
    let context = server.bucket("b", 10).await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    let variables = [("KVWATCH_PASSWORD", "hunter2")];
    let start = Start { from: &from, arguments: &["--user", "ada"], variables: &variables };
    let mut program = start.program(folder)?;
    logged(folder, "\"message\":\"watching\"").await?;
    handles(folder, &context).await?;
    let other = ConnectOptions::new().user_and_password("ada".into(), "swordfish".into());
    server.configure(&config("swordfish"), other).await?;
    logged(folder, "uthorization").await?;
    pause(5000).await;
    server.configure(&config("hunter2"), user()).await?;
    handles(folder, &server.context().await?).await?;
    program.signal("-TERM")?;
    match program.end().await? {
        0 => has_no_secret(folder),
        code => Err(format!("exit code {code}\n{}", tail(folder)).into()),
    }
}
