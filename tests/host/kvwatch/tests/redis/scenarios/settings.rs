//! The setting of the server, credentials, and rights.

use super::{pause, same, tests};
use crate::record::Failure;
use crate::redis_server::{Server, run};
use crate::watcher::{Options, Process, events, wait_until};
use kvwatch::sources::Secret;
use kvwatch::sources::redis::{Auth, Error, RedisSource, Settings};

tests!(
    notifications_that_are_off_are_an_error_with_the_command,
    configure_adds_what_is_missing_and_keeps_the_rest,
    user_without_the_right_to_ask_still_watches,
    user_with_the_documented_rights_lacks_nothing,
    wrong_password_is_refused_and_never_shown,
    missing_database_is_told,
    wait_waits_for_the_server,
);

async fn open(settings: Settings) -> Result<RedisSource, Error> {
    RedisSource::open(settings, std::sync::Arc::default()).await
}

async fn notifications_that_are_off_are_an_error_with_the_command() -> Result<(), Failure> {
    let server = Server::start_with(&["--notify-keyspace-events", "Kl"]).await?;
    let error = open(Settings::new(server.url().parse()?, "w")).await.err().ok_or("it opened")?;
    let text = error.to_string();
    // The command works in a shell: `$g` is not a variable within the quotes.
    let address = server.url().parse::<kvwatch::sources::redis::Address>()?;
    let command = format!("`redis-cli -h {} -p {} CONFIG SET notify-keyspace-events '", address.host(), address.port());
    for part in [&*command, "E$gxe'`", "--configure"] {
        if !text.contains(part) {
            return Err(format!("no {part} in: {text}").into());
        }
    }
    let mut connection = server.connection().await?;
    let now: Vec<String> = run(&mut connection, "CONFIG GET notify-keyspace-events").await?;
    let mut flags: Vec<char> = now[1].chars().collect();
    flags.sort_unstable();
    same("the setting", &flags, &vec!['K', 'l'])
}

async fn configure_adds_what_is_missing_and_keeps_the_rest() -> Result<(), Failure> {
    let server = Server::start_with(&["--notify-keyspace-events", "Kl"]).await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), folder.path());
    options.configure = true;
    let _process = Process::start(&options).await?;
    let mut connection = server.connection().await?;
    let now: Vec<String> = run(&mut connection, "CONFIG GET notify-keyspace-events").await?;
    let mut flags: Vec<char> = now[1].chars().collect();
    flags.sort_unstable();
    same("the setting", &flags.into_iter().collect::<String>().as_str(), &"$EKeglx")?;
    run::<()>(&mut connection, "SET a 1").await?;
    wait_until(folder.path(), "one event", || events(folder.path()) == ["a=1"]).await
}

async fn user_without_the_right_to_ask_still_watches() -> Result<(), Failure> {
    let server = Server::start().await?;
    let mut connection = server.connection().await?;
    run::<()>(
        &mut connection,
        "ACL SETUSER ada on >hunter2 ~* &* -@all +get +mget +type +scan +subscribe +psubscribe +select +ping +info +hello +client|setname",
    )
    .await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter2\n")?;
    let mut settings = Settings::new(server.url().parse()?, "w");
    settings.auth = Auth::User { user: "ada".into(), password: Secret::from_file("password", &path)? };
    let mut source = open(settings).await?;
    run::<()>(&mut connection, "SET a 1").await?;
    let signal = kvwatch::serve::Source::next(&mut source).await?;
    same("an event", &format!("{signal:?}").contains("key: \"a\""), &true)
}

async fn user_with_the_documented_rights_lacks_nothing() -> Result<(), Failure> {
    let server = Server::start().await?;
    let mut connection = server.connection().await?;
    let text = include_str!("../../../docs/redis.md");
    let acl =
        text.lines().find(|line| line.starts_with("ACL SETUSER kvwatch ")).ok_or("no rights in the documentation")?;
    // Without a password of its own, the process of the test is the user `default`.
    let acl = acl.replace("kvwatch on >PASSWORD", "default reset on nopass");
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), folder.path());
    options.replay = true;
    run::<()>(&mut connection, "SET a 1").await?;
    run::<()>(&mut connection, "RPUSH list 1").await?;
    run::<()>(&mut connection, "ACL SETUSER admin on >secret ~* &* +@all").await?;
    run::<()>(&mut connection, "AUTH admin secret").await?;
    run::<()>(&mut connection, &acl).await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    // This is longer than the interval at which the server is asked for its state.
    pause(2500).await;
    run::<()>(&mut connection, "FLUSHDB").await?;
    let folder = folder.path();
    wait_until(folder, "the flush", || events(folder) == ["a=1", "a gone"]).await?;
    same("refusals", &crate::watcher::count(folder, "refused"), &0)?;
    same("lost connections", &crate::watcher::count(folder, "is lost"), &0)
}

async fn wrong_password_is_refused_and_never_shown() -> Result<(), Failure> {
    let server = Server::start_with(&["--requirepass", "right", "--notify-keyspace-events", "KEA"]).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("password");
    let mut settings = Settings::new(server.url().parse()?, "w");
    let error = open(settings.clone()).await.err().ok_or("it opened without a password")?;
    same("refused", &matches!(error, Error::Refused { .. }), &true)?;
    std::fs::write(&path, "hunter2\n")?;
    settings.auth = Auth::Password(Secret::from_file("password", &path)?);
    let error = open(settings.clone()).await.err().ok_or("it opened with a wrong password")?;
    same("refused", &matches!(error, Error::Refused { .. }), &true)?;
    same("shown", &format!("{error} {error:?} {settings:?}").contains("hunter2"), &false)?;
    std::fs::write(&path, "right\n")?;
    settings.auth = Auth::Password(Secret::from_file("password", &path)?);
    open(settings).await?;
    Ok(())
}

async fn missing_database_is_told() -> Result<(), Failure> {
    let server = Server::start().await?;
    let settings = Settings::new(server.url().replace("/0", "/99").parse()?, "w");
    let error = open(settings).await.err().ok_or("it opened")?;
    let is_told = error.to_string().contains("has no database 99; ");
    if !is_told || !matches!(error, Error::NoDatabase { database: 99, .. }) || !error.is_missing_store() {
        return Err(format!("{error:?}").into());
    }
    Ok(())
}

async fn wait_waits_for_the_server() -> Result<(), Failure> {
    let mut server = Server::start().await?;
    server.kill()?;
    let mut settings = Settings::new(server.url().parse()?, "w");
    let error = open(settings.clone()).await.err().ok_or("it opened")?;
    same("missing", &error.is_missing_store(), &true)?;
    settings.wait = true;
    let opening = tokio::spawn(open(settings));
    pause(500).await;
    same("waiting", &opening.is_finished(), &false)?;
    server.restart().await?;
    opening.await??;
    Ok(())
}
