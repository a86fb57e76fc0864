//! Redis as the store of a watcher: each function, its errors, and what is atomic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kvwatch::serve::{DeadLetterFile, Event, Metrics, Outcome, deliver};
use kvwatch::sources::redis::{Auth, DepthOf, RedisSource, Settings};
use kvwatch::stores::{Feedback, RedisStore};
use kvwatch::world::Content;
use kvwatch::world::store::{Store, StoreError, conforms};

use super::{pause, same, tests};
use crate::record::Failure;
use crate::redis_server::{Server, run};

tests!(
    conforms_like_every_store,
    values_are_set_read_and_deleted,
    numbers_are_added_up_to_64_bits,
    numbers_are_compared_and_swapped,
    batches_do_all_or_nothing,
    all_keys_are_listed,
    concurrent_increments_add_up,
    bucket_is_a_database,
    refusals_of_the_server_are_told,
    store_connects_again,
    watcher_that_feeds_itself_ends_with_an_explanation,
);

fn store(server: &Server) -> Result<RedisStore, Failure> {
    Ok(RedisStore::new(server.url().parse()?, Auth::default()))
}

fn text(content: &Content) -> Result<String, Failure> {
    Ok(String::from_utf8(content.read(0, content.len())?)?)
}

fn no_key<T>(key: &str) -> Result<T, StoreError> {
    Err(StoreError::NoKey(key.into()))
}

async fn conforms_like_every_store() -> Result<(), Failure> {
    let server = Server::start().await?;
    Ok(conforms(&store(&server)?, "0").await?)
}

async fn values_are_set_read_and_deleted() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    same("exists", &store.exists("0", "a").wait().await, &Ok(false))?;
    same("get", &store.get("0", "a").wait().await.map(|_| ()), &no_key("a"))?;
    same("delete", &store.delete("0", "a").wait().await, &no_key("a"))?;
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    for value in [&b""[..], b"text", &bytes] {
        store.set("0", "a", Content::from(value.to_vec())).wait().await?;
        let content = store.get("0", "a").wait().await?;
        same("the value", &(content.read(0, content.len())? == value), &true)?;
    }
    // A key is any text.
    for key in ["", "ключ", "a b\r\nc", "*"] {
        store.set("0", key, Content::from("1")).wait().await?;
        same("exists", &store.exists("0", key).wait().await, &Ok(true))?;
        store.delete("0", key).wait().await?;
        same("exists", &store.exists("0", key).wait().await, &Ok(false))?;
    }
    Ok(())
}

async fn numbers_are_added_up_to_64_bits() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    let mut connection = server.connection().await?;
    // Around the limits of Lua's numbers, of the integers of Redis, and of the halves.
    let numbers = [
        0,
        1,
        7,
        999_999_999,
        9_999_999_999,
        10_000_000_000,
        (1 << 53) - 1,
        (1 << 53) + 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    for before in numbers {
        for delta in numbers {
            store.set("0", "n", Content::from(before.to_string())).wait().await?;
            let expected = before.checked_add(delta).ok_or(StoreError::Overflow("n".into()));
            same(&format!("{before} + {delta}"), &store.increment("0", "n", delta).wait().await, &expected)?;
            let after = text(&store.get("0", "n").wait().await?)?;
            same("afterwards", &after, &expected.unwrap_or(before).to_string())?;
        }
    }
    same("a missing key", &store.increment("0", "new", 5).wait().await, &Ok(5))?;
    same("text", &run::<String>(&mut connection, "GET new").await?, &"5".to_owned())?;
    same(
        "leading zeroes",
        &{
            run::<()>(&mut connection, "SET zeroes 0041").await?;
            store.increment("0", "zeroes", 1).wait().await
        },
        &Ok(42),
    )?;
    for bad in ["x", "-1", "+1", "1.5", " 1", "18446744073709551616", "99999999999999999999", "000000000000000000001"] {
        store.set("0", "bad", Content::from(bad)).wait().await?;
        let refused = store.increment("0", "bad", 1).wait().await;
        same(bad, &refused, &Err(StoreError::NotANumber("bad".into())))?;
        same(bad, &text(&store.get("0", "bad").wait().await?)?, &bad.to_owned())?;
    }
    store.set("0", "empty", Content::from("")).wait().await?;
    same("empty", &store.increment("0", "empty", 1).wait().await, &Err(StoreError::NotANumber("empty".into())))?;
    // An expiry stays.
    run::<()>(&mut connection, "SET n 1 EX 1000").await?;
    store.increment("0", "n", 1).wait().await?;
    same("an expiry", &(run::<i64>(&mut connection, "TTL n").await? > 900), &true)
}

async fn numbers_are_compared_and_swapped() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    same("missing", &store.compare_and_swap("0", "n", 0, 1).wait().await, &no_key("n"))?;
    for (now, old, new, swapped) in [
        ("1", 1, 2, true),
        ("1", 2, 3, false),
        ("007", 7, 8, true),
        ("18446744073709551615", u64::MAX, 0, true),
        ("9007199254740993", 9_007_199_254_740_992, 0, false),
    ] {
        store.set("0", "n", Content::from(now)).wait().await?;
        same(now, &store.compare_and_swap("0", "n", old, new).wait().await, &Ok(swapped))?;
        let expected = if swapped { new.to_string() } else { now.to_owned() };
        same(now, &text(&store.get("0", "n").wait().await?)?, &expected)?;
    }
    for bad in ["x", "", "-1", "18446744073709551616"] {
        store.set("0", "n", Content::from(bad)).wait().await?;
        let refused = store.compare_and_swap("0", "n", 1, 2).wait().await;
        same(bad, &refused, &Err(StoreError::NotANumber("n".into())))?;
    }
    // Of many clients that want to swap the same number, one succeeds.
    store.set("0", "race", Content::from("0")).wait().await?;
    let store = Arc::new(store);
    let racers: Vec<_> = (1..=20_u64)
        .map(|new| tokio::spawn(RedisStore::compare_and_swap(&store, "0", "race", 0, new).wait()))
        .collect();
    let mut swapped = 0;
    for racer in racers {
        swapped += u32::from(racer.await??);
    }
    same("swaps", &swapped, &1)
}

async fn batches_do_all_or_nothing() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    let pairs = |value: &str| ["a", "b", "c"].map(|key| (key.to_owned(), Content::from(value.to_owned()))).to_vec();
    store.set_many("0", pairs("1")).wait().await?;
    let values = store.get_many("0", &["c", "a", "c"]).wait().await?;
    same("values", &values.iter().map(text).collect::<Result<Vec<_>, _>>()?, &vec!["1".to_owned(); 3])?;
    same("one missing", &store.get_many("0", &["a", "x"]).wait().await.map(|_| ()), &no_key("x"))?;
    store.delete_many("0", &["a", "x", "b"]).wait().await?;
    same("keys", &store.keys("0").wait().await, &Ok(vec!["c".to_owned()]))?;
    for nothing in [
        store.set_many("0", Vec::new()).wait().await,
        store.delete_many("0", &[]).wait().await,
        store.get_many("0", &[]).wait().await.map(|_| ()),
    ] {
        same("nothing", &nothing, &Ok(()))?;
    }
    // Two writers write the same keys. No reader sees the `a` of one with the `b` of the other.
    let store = Arc::new(store);
    let writers: Vec<_> = ["1", "2"]
        .map(|value| {
            let (store, pairs) = (Arc::clone(&store), pairs(value));
            tokio::spawn(async move {
                for _ in 0..300 {
                    store.set_many("0", pairs.clone()).wait().await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .into();
    store.set_many("0", pairs("1")).wait().await?;
    for _ in 0..300 {
        let values = store.get_many("0", &["a", "b", "c"]).wait().await?;
        let values = values.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        same("three values", &values.iter().all(|value| *value == values[0]), &true)?;
    }
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

async fn all_keys_are_listed() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    same("no keys", &store.keys("0").wait().await, &Ok(Vec::new()))?;
    let mut connection = server.connection().await?;
    super::set_many(&mut connection, 0..5000, "1").await?;
    redis::cmd("SET").arg(b"\xff").arg(1).exec_async(&mut connection).await?;
    let mut expected: Vec<String> = (0..5000).map(|number| format!("k{number}")).collect();
    expected.sort_unstable();
    same("keys", &(store.keys("0").wait().await? == expected), &true)
}

async fn concurrent_increments_add_up() -> Result<(), Failure> {
    let server = Server::start().await?;
    let processes = (0..5)
        .map(|_| {
            std::process::Command::new(std::env::current_exe()?)
                .args([crate::watcher::INCREMENT, &server.url(), "20"])
                .spawn()
        })
        .collect::<Result<Vec<_>, _>>()?;
    for mut process in processes {
        same("success", &process.wait()?.success(), &true)?;
    }
    same("the sum", &text(&store(&server)?.get("0", "n").wait().await?)?, &"100".to_owned())
}

async fn bucket_is_a_database() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    store.open("0").wait().await?;
    store.set("0", "a", Content::from("zero")).wait().await?;
    store.set("1", "a", Content::from("one")).wait().await?;
    same("database 0", &text(&store.get("0", "a").wait().await?)?, &"zero".to_owned())?;
    same("database 1", &text(&store.get("1", "a").wait().await?)?, &"one".to_owned())?;
    for bucket in ["16", "orders", "", "-1", "00", "+1", "4294967296"] {
        same(bucket, &store.open(bucket).wait().await, &Err(StoreError::NoBucket(bucket.to_owned())))?;
    }
    Ok(())
}

async fn refusals_of_the_server_are_told() -> Result<(), Failure> {
    let server = Server::start().await?;
    let store = store(&server)?;
    let mut connection = server.connection().await?;
    run::<u64>(&mut connection, "RPUSH list 1").await?;
    for refused in [
        store.get("0", "list").wait().await.map(|_| ()),
        store.increment("0", "list", 1).wait().await.map(|_| ()),
        store.compare_and_swap("0", "list", 1, 2).wait().await.map(|_| ()),
    ] {
        let Err(StoreError::Refused(text)) = &refused else { return Err(format!("{refused:?}").into()) };
        same(text, &text.contains("WRONGTYPE"), &true)?;
    }
    let big = Content::repeat("x", 513 << 20);
    let full = store.set("0", "big", big).wait().await;
    same("too big", &matches!(&full, Err(StoreError::Full(text)) if text.contains("536870912")), &true)?;
    run::<()>(&mut connection, "CONFIG SET maxmemory 1").await?;
    for full in [
        store.set("0", "a", Content::from("1")).wait().await,
        store.set_many("0", vec![("a".into(), Content::from("1"))]).wait().await,
        store.increment("0", "a", 1).wait().await.map(|_| ()),
    ] {
        same(&format!("{full:?}"), &matches!(&full, Err(StoreError::Full(text)) if text.contains("maxmemory")), &true)?;
    }
    Ok(())
}

async fn store_connects_again() -> Result<(), Failure> {
    let mut server = Server::start().await?;
    let store = store(&server)?;
    store.set("0", "a", Content::from("1")).wait().await?;
    server.kill()?;
    pause(100).await;
    let away = store.get("0", "a").wait().await;
    same("away", &matches!(away, Err(StoreError::Unavailable(_))), &true)?;
    server.restart().await?;
    same("back", &text(&store.get("0", "a").wait().await?)?, &"1".to_owned())
}

async fn watcher_that_feeds_itself_ends_with_an_explanation() -> Result<(), Failure> {
    let server = Server::start().await?;
    let mut connection = server.connection().await?;
    let folder = tempfile::tempdir()?;
    let metrics = Arc::new(Metrics::default());
    let feedback = Arc::new(Feedback::new("0", 10, Duration::from_secs(10)));
    let mut source_settings = Settings::new(server.url().parse()?, "w");
    let record = Arc::clone(&feedback);
    source_settings.depth_of = DepthOf::new(move |key| record.depth_of(key));
    let mut source = RedisSource::open(source_settings, Arc::clone(&metrics)).await?;
    let redis: Arc<dyn Store> = Arc::new(store(&server)?);
    // It counts the events of every key but `stop` under the key of the event itself.
    let new_worker = || {
        let depth = Arc::new(AtomicU32::new(0));
        let of_event = Arc::clone(&depth);
        let guard = feedback.guard(Arc::clone(&redis), move || of_event.load(Ordering::Relaxed));
        move |event: &Event, _: u32| {
            depth.store(event.depth, Ordering::Relaxed);
            let (guard, key) = (Arc::clone(&guard), Arc::clone(&event.key));
            async move {
                if &*key == "stop" {
                    return Outcome::Handled;
                }
                match guard.increment("0", &key, 1).wait().await {
                    Ok(_) => Outcome::Handled,
                    Err(error) => Outcome::Trapped(error.to_string()),
                }
            }
        }
    };
    let letters = folder.path().join("dead.jsonl");
    let file = Arc::new(DeadLetterFile::open(&letters)?);
    let mut settings = kvwatch::serve::Settings::with_workers(1);
    settings.retry.attempts = 2;
    let ended = async {
        run::<()>(&mut connection, "SET a 0").await?;
        while std::fs::read_to_string(&letters)?.is_empty() {
            pause(20).await;
        }
        same("increments", &run::<u64>(&mut connection, "GET a").await?, &10)?;
        run::<()>(&mut connection, "SET stop 1").await
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let delivery = deliver(&mut source, new_worker, &settings, file, metrics, async { _ = stopped.await });
    let (ended, delivered) = tokio::join!(
        async {
            let ended = tokio::time::timeout(Duration::from_mins(1), ended).await;
            let _ = stop.send(());
            ended
        },
        delivery
    );
    delivered?;
    ended??;
    let letter = std::fs::read_to_string(&letters)?;
    same(&letter, &letter.contains("own writes have called it 10 times in a chain"), &true)
}
