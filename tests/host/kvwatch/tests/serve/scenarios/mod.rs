//! The tests, by topic.

mod access;
mod acts;
mod buckets;
mod deaths;
mod documents;
mod encryption;
mod keys;
mod letters;
mod load;
mod network;
mod old;
mod operation;
mod programs;
mod random;
mod servers;
mod standbys;

use std::pin::Pin;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::Info;

use crate::nats_server::Server;
use crate::record::Failure;
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
    [
        random::ALL,
        servers::ALL,
        load::ALL,
        standbys::ALL,
        network::ALL,
        deaths::ALL,
        programs::ALL,
        buckets::ALL,
        letters::ALL,
        acts::ALL,
        operation::ALL,
        keys::ALL,
        access::ALL,
        encryption::ALL,
        documents::ALL,
        old::ALL,
    ]
    .into_iter()
    .flatten()
}

/// The tests with a server of an old release.
pub(crate) fn with_old_server() -> impl Iterator<Item = &'static Test> {
    old::WITH_OLD_SERVER.iter()
}

/// The longest time that a test waits. It is much longer than needed.
const LONG: Duration = Duration::from_mins(2);

async fn setup() -> Result<(Server, Context, tempfile::TempDir, Options), Failure> {
    let server = Server::start().await?;
    let context = server.bucket("b", 1000).await?;
    let folder = tempfile::tempdir()?;
    let options = Options::new(&server.url(), "b", folder.path());
    Ok((server, context, folder, options))
}

async fn put(context: &Context, key: &str, value: &str) -> Result<u64, Failure> {
    Ok(context.publish(format!("$KV.b.{key}"), value.to_owned().into()).await?.await?.sequence)
}

async fn put_many(context: &Context, keys: u64, count: u64) -> Result<(), Failure> {
    put_values(context, keys, count, |number| number.to_string()).await
}

/// Puts event `n` to the key `k{n % keys}`, many at a time.
async fn put_values(context: &Context, keys: u64, count: u64, value: impl Fn(u64) -> String) -> Result<(), Failure> {
    let mut acks = Vec::new();
    for number in 0..count {
        let key = format!("$KV.b.k{}", number % keys);
        acks.push(context.publish(key, value(number).into()).await?);
        if acks.len() == 500 {
            for ack in acks.drain(..) {
                ack.await?;
            }
        }
    }
    for ack in acks {
        ack.await?;
    }
    Ok(())
}

/// Puts events one after another, each again until the server confirms it, so that the server may be killed meanwhile. An
/// event may be in the bucket twice then.
async fn put_steadily(context: Context, keys: u64, count: u64, millis: u64) -> Result<(), Failure> {
    let begun = Instant::now();
    for number in 0..count {
        while let Err(cause) = put(&context, &format!("k{}", number % keys), &number.to_string()).await {
            if begun.elapsed() > LONG * 2 {
                return Err(cause);
            }
            pause(50).await;
        }
        pause(millis).await;
    }
    Ok(())
}

/// The last event of the bucket.
async fn last(context: &Context) -> Result<u64, Failure> {
    let mut waited = 0;
    loop {
        match context.get_stream("KV_b").await {
            Ok(stream) => return Ok(stream.cached_info().state.last_sequence),
            Err(cause) if waited > 100 => return Err(cause.into()),
            Err(_) => waited += 1,
        }
        pause(200).await;
    }
}

/// The server's information about the consumer of the test's processes.
async fn consumer(context: &Context) -> Result<Info, Failure> {
    Ok(context.get_stream("KV_b").await?.consumer_info("watcher").await?)
}

/// Waits until the server reports that all events are delivered and acknowledged.
async fn drained(context: &Context, folder: &std::path::Path, limit: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let state = match consumer(context).await {
            Ok(info) if info.num_pending == 0 && info.num_ack_pending == 0 => return Ok(()),
            Ok(info) => {
                format!("{} events are not delivered, {} not acknowledged", info.num_pending, info.num_ack_pending)
            }
            Err(cause) => cause.to_string(),
        };
        if begun.elapsed() > limit {
            return Err(format!("{state}, after {limit:?}\n{}", crate::record::tail(folder)).into());
        }
        pause(200).await;
    }
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
