//! Tests a watcher that sends HTTP requests: the example `webhook`, with a server on this machine.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use kvwatch::build::{self, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server that answers every request with one status.
struct Server {
    address: SocketAddr,
    requests: Receiver<Request>,
}

#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Server {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if send.send(answer(stream.unwrap(), status)).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    fn request(&self) -> Request {
        self.requests.recv_timeout(Duration::from_mins(1)).expect("a request should have come")
    }
}

/// Reads a line without its end.
fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn answer(mut stream: TcpStream, status: &str) -> Request {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let first = line(&mut reader);
    let headers: Vec<_> = std::iter::from_fn(|| Some(line(&mut reader)).filter(|line| !line.is_empty())).collect();
    let len = |header: &String| header.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
    let mut body = Vec::new();
    if let Some(len) = headers.iter().find_map(len) {
        reader.take(len as u64).read_to_end(&mut body).unwrap();
    } else {
        // Chunks, each with its length in front, up to an empty one.
        loop {
            let len = usize::from_str_radix(&line(&mut reader), 16).unwrap();
            let mut chunk = vec![0; len + 2];
            reader.read_exact(&mut chunk).unwrap();
            if len == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..len]);
        }
    }
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    Request { line: first, headers, body }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/webhook")
}

/// A folder with the example's component.
fn folder(target: Target) -> TempDir {
    let built = build::package(example(), target).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("webhook.wasm"), built.component).unwrap();
    folder
}

fn kvwatch(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn run(folder: &TempDir, url: &str, args: &[&str]) -> Output {
    let events = example().join("events.jsonl");
    let url = format!("WEBHOOK_URL={url}");
    kvwatch(folder, &[&["run", "webhook.wasm", events.to_str().unwrap(), "--env", &url], args].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_webhook_is_called_for_every_event() {
    for target in [Target::Wasip1, Target::Wasip2] {
        let (folder, server) = (folder(target), Server::start("204 No Content"));
        let url = format!("http://{}/hook?a=b", server.address);
        let output = run(&folder, &url, &["--allow-host", &server.address.to_string()]);
        assert_eq!(output.status.code(), Some(0), "{target}: {}", text(&output.stderr));
        for due in [
            json!({"op": "set", "key": "users/ada", "size": 5, "value": "hello"}),
            json!({"op": "set", "key": "avatars/ada", "size": 8}),
            json!({"op": "delete", "key": "users/ada"}),
        ] {
            let request = server.request();
            assert_eq!(request.line, "POST /hook?a=b HTTP/1.1");
            assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), due, "{request:?}");
            assert!(request.headers.contains(&format!("host: {}", server.address)), "{request:?}");
        }
        assert_eq!(text(&output.stdout), "\"users/ada\"\n\"avatars/ada\"\n\"users/ada\"\n");
    }
}

#[test]
fn nothing_is_allowed_by_default_and_the_report_names_the_flag() {
    let (folder, server) = (folder(Target::Wasip2), Server::start("204 No Content"));
    let url = format!("http://{}/", server.address);
    let other = format!("127.0.0.1:{}", server.address.port() ^ 1);
    for args in [&[][..], &["--allow-host", "localhost"], &["--allow-host", &other]] {
        let output = run(&folder, &url, args);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        let note = format!("note: a request to {0} was denied: --allow-host {0} allows it\n", server.address);
        assert_eq!(shown.matches(&note).count(), 3, "{shown}");
    }
    let output = run(&folder, &url, &["--json"]);
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(first["denied_hosts"], json!([server.address.to_string()]));
    assert!(server.requests.try_recv().is_err(), "no request should have come");
}

#[test]
fn an_answer_that_is_no_success_and_a_host_that_is_away_fail_the_event() {
    let (folder, server) = (folder(Target::Wasip2), Server::start("500 Internal Server Error"));
    let output = run(&folder, &format!("http://{}/", server.address), &["--allow-host", "127.0.0.1"]);
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("has answered with the status 500"), "{shown}");
    // A port at which no server listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&folder, &format!("http://{free}/"), &["--allow-host", "*"]);
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("3 events, 3 failed"), "{shown}");
}

#[test]
fn a_server_that_does_not_answer_ends_with_the_time_of_the_event() {
    // The server accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder(Target::Wasip2);
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let output = run(&folder, &url, &["--allow-host", "*", "--time", "200ms"]);
    let shown = text(&output.stderr);
    assert!(shown.contains("it ran into the time limit of 200ms"), "{shown}");
}

#[test]
fn check_names_the_flag() {
    let output = kvwatch(&folder(Target::Wasip2), &["check", "webhook.wasm"]);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page}");
    for (import, need) in [
        ("wasi:http/outgoing-handler@", "every request is denied without --allow-host NAME[:PORT]"),
        ("wasi:cli/environment@", "no variables without --env NAME[=VALUE]"),
    ] {
        let line = page.lines().find(|line| line.trim_start().starts_with(import)).expect(import);
        assert!(line.ends_with(need), "{page}");
    }
}

#[test]
fn an_argument_that_is_no_host_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = kvwatch(&folder, &["run", "webhook.wasm", "--allow-host", "http://example.org/"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not a host: write a name or an address"), "{}", text(&output.stderr));
}
