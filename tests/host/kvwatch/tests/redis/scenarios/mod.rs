//! The tests, by topic.

mod changes;
mod outages;
mod programs;
mod settings;
mod stores;

use std::pin::Pin;

use redis::aio::MultiplexedConnection;

use crate::record::Failure;
use crate::redis_server::Server;
use crate::watcher::Options;

/// The name of a test, and its function.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = Result<(), Failure>>>>);

/// Lists the tests of a file as `ALL`.
macro_rules! tests {
    ($($name:ident,)*) => {
        pub(crate) const ALL: &[super::Test] = &[$((stringify!($name), || Box::pin($name())),)*];
    };
}
use tests;

/// All tests. The long ones come first, because several run at the same time.
pub(crate) fn all() -> impl Iterator<Item = &'static Test> {
    [programs::ALL, outages::ALL, changes::ALL, settings::ALL, stores::ALL].into_iter().flatten()
}

async fn setup() -> Result<(Server, MultiplexedConnection, tempfile::TempDir, Options), Failure> {
    let server = Server::start().await?;
    let connection = server.connection().await?;
    let folder = tempfile::tempdir()?;
    let options = Options::new(&server.url(), folder.path());
    Ok((server, connection, folder, options))
}

async fn pause(millis: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
}

/// Fails with both sides if they differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failure> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, and not {expected:?}").into()) }
}

/// Sets `k{n}` to `value` for all numbers, many at a time.
async fn set_many(
    connection: &mut MultiplexedConnection,
    keys: std::ops::Range<u32>,
    value: &str,
) -> Result<(), Failure> {
    for number in keys.clone().step_by(500) {
        let mut pipe = redis::pipe();
        for number in number..(number + 500).min(keys.end) {
            pipe.cmd("SET").arg(format!("k{number}")).arg(value).ignore();
        }
        pipe.exec_async(connection).await?;
    }
    Ok(())
}
