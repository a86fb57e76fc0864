//! Delivers a number of small events to one instance, under a profiler: `deliver bare 20000`, `deliver kvwatch 20000`.

use bench::guests::Guests;
use bench::host::{Event, Machine, SMALL};
use bench::timed::deliver;
use kvwatch::world::Content;
use kvwatch::{Engine, Watcher};
use wasmtime::error::Context as _;
use wasmtime::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [who, events] = &arguments[..] else {
        bail!("usage: `deliver bare 20000` or `deliver kvwatch 20000`");
    };
    let events = events.parse::<u32>().with_context(|| format!("`{events}` is not a number of events"))?;
    let [_, guests] = Guests::of_both_sides()?;
    let component = guests.get("sdk_sums")?;
    match who.as_str() {
        "bare" => {
            let mut watcher = Machine::fast()?.load(component)?.start()?;
            for _ in 0..events {
                watcher.deliver(Event::Set(SMALL.len() as u64))?;
            }
        }
        "kvwatch" => {
            let mut session = Watcher::from_bytes(&Engine::new()?, "the guest", component)?.session().build();
            let content = Content::from(SMALL);
            for _ in 0..events {
                deliver(&mut session, &content)?;
            }
        }
        _ => bail!("`{who}` is neither `bare` nor `kvwatch`"),
    }
    Ok(())
}
