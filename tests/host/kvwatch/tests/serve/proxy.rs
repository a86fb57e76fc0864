//! A proxy between kvwatch and its server, for the faults of a network.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::record::Failure;

/// The behaviour of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It passes all bytes on.
    None,
    /// It passes on a few bytes at a time, with pauses.
    Slow,
    /// It closes every connection, and every new one.
    Refuse,
    /// It passes on nothing, and closes nothing.
    Silent,
    /// It closes each connection after this many bytes of the server.
    CutAfter(usize),
    /// After this number of bytes of the server, it passes on nothing more. It closes nothing.
    HoldAfter(usize),
    /// It passes on no more bytes of a client when this text has come, and closes nothing.
    HoldFrom(&'static str),
    /// It drops each message of a NATS client that contains this text, and passes on all others. It must be set before the client
    /// connects.
    Take(&'static str),
}

/// A running proxy. It ends when this is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    fault: watch::Sender<Fault>,
    server: watch::Sender<u16>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let fault = watch::Sender::new(Fault::None);
        let server = watch::Sender::new(server);
        let task = tokio::spawn(accept(listener, server.subscribe(), fault.subscribe())).abort_handle();
        Ok(Self { port, fault, server, task })
    }

    /// Closes every connection, and passes new ones to another server.
    pub(crate) fn redirect(&self, server: u16) {
        self.server.send_replace(server);
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Fault::Refuse);
    }
}

async fn accept(listener: TcpListener, server: watch::Receiver<u16>, fault: watch::Receiver<Fault>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut fault = fault.clone();
        let mut target = server.clone();
        tokio::spawn(async move {
            let port = *target.borrow_and_update();
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            let (to_server, to_client) = (fault.clone(), fault.clone());
            tokio::select! {
                _ = pass(client_reads, server_writes, to_server, false) => {}
                _ = pass(server_reads, client_writes, to_client, true) => {}
                _ = fault.wait_for(|fault| *fault == Fault::Refuse) => {}
                _ = target.changed() => {}
            }
        });
    }
}

async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    from_server: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    // The start of a message of NATS whose end has not come.
    let mut begun = Vec::new();
    loop {
        let most = if *fault.borrow() == Fault::Slow { 512 } else { buffer.len() };
        let count = from.read(&mut buffer[..most]).await?;
        if count == 0 {
            return Ok(());
        }
        // The sender of the faults lives as long as the proxy.
        let now = *fault.wait_for(|fault| *fault != Fault::Silent).await.map_err(io::Error::other)?;
        match now {
            Fault::Slow => tokio::time::sleep(Duration::from_millis(2)).await,
            Fault::CutAfter(most) if from_server && passed + count >= most => {
                return to.write_all(&buffer[..most.saturating_sub(passed).min(count)]).await;
            }
            Fault::HoldAfter(most) if from_server && passed + count >= most => {
                let held = |fault: &Fault| matches!(fault, Fault::HoldAfter(_));
                fault.wait_for(|fault| !held(fault)).await.map_err(io::Error::other)?;
            }
            Fault::HoldFrom(text) if !from_server && contains(&buffer[..count], text) => {
                fault.wait_for(|fault| *fault != now).await.map_err(io::Error::other)?;
            }
            Fault::Take(text) if !from_server => {
                begun.extend_from_slice(&buffer[..count]);
                while let Some(len) = message_len(&begun) {
                    let message: Vec<u8> = begun.drain(..len).collect();
                    if !contains(&message, text) {
                        to.write_all(&message).await?;
                    }
                }
                continue;
            }
            _ => {}
        }
        to.write_all(&buffer[..count]).await?;
        passed += count;
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The length of the first message of a NATS client, if the message is complete: a line, and the published bytes after it.
fn message_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|window| window == b"\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..line]);
    let is_publish = text.starts_with("PUB ") || text.starts_with("HPUB ");
    let content = text.rsplit(' ').next()?.parse::<usize>().ok().filter(|_| is_publish);
    let len = line + 2 + content.map_or(0, |content| content + 2);
    (bytes.len() >= len).then_some(len)
}
