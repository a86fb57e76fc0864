//! Tests servers of old releases: the messages, and the functions that still work.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::access::{Start, folder};
use super::tests;
use crate::nats_server::Server;
use crate::record::Failure;

tests!(old_server_is_named_with_what_is_possible,);

pub(crate) const WITH_OLD_SERVER: &[super::Test] =
    &[("server_2_10_works_with_shared_only", || Box::pin(server_2_10_works_with_shared_only()))];

/// Answers like a server of this version, until kvwatch looks at the version.
async fn says_it_is(version: &'static str) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (reads, mut writes) = client.into_split();
                let info = serde_json::json!({
                    "server_id": "T", "version": version, "host": "127.0.0.1", "port": port, "headers": true,
                    "max_payload": 1_048_576, "proto": 1, "client_id": 1, "go": "", "server_name": "t",
                });
                writes.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
                let mut lines = BufReader::new(reads).lines();
                while let Some(line) = lines.next_line().await? {
                    if line.starts_with("PING") {
                        writes.write_all(b"PONG\r\n").await?;
                    }
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    Ok(port)
}

async fn old_server_is_named_with_what_is_possible() -> Result<(), Failure> {
    let folder = folder()?;
    let folder = folder.path();
    for (version, arguments, due) in [
        ("2.10.26", &[][..], ["nats-server 2.10.26 cannot choose one", "use --shared"]),
        ("2.9.25", &[], ["nats-server 2.9.25 is too old", "upgrade it to 2.11"]),
        ("2.9.25", &["--shared", "--wait"], ["nats-server 2.9.25 is too old", "upgrade it to 2.11"]),
        ("no\u{1b}[31mne", &[], ["u{1b}[31mne is too old", "upgrade it to 2.11"]),
    ] {
        let from = format!("nats://127.0.0.1:{}/b", says_it_is(version).await?);
        Start { from: &from, arguments, variables: &[] }.is_refused(folder, 1, &due).await?;
    }
    Ok(())
}

async fn server_2_10_works_with_shared_only() -> Result<(), Failure> {
    let mut server = Server::start_old().await?;
    let context = server.bucket("b", 10).await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    Start::of(&from, &[], &[]).is_refused(folder, 1, &["nats-server 2.10.", "use --shared"]).await?;
    Start::of(&from, &["--shared"], &[]).works(folder, &context).await?;
    server.restart(std::time::Duration::from_millis(100)).await?;
    Start::of(&from, &["--shared"], &[]).works(folder, &server.context().await?).await?;
    // The consumer is the same one: its settings do not differ from what the old server has made of them.
    let consumers = server.context().await?.get_stream("KV_b").await?.cached_info().state.consumer_count;
    if consumers == 1 { Ok(()) } else { Err(format!("{consumers} consumers").into()) }
}
