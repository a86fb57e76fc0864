//! Functions of the author's own beside the watcher, with the bindings of another release of wit-bindgen.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

wit_bindgen::generate!({
    inline: "
        package neighbours:greeter;

        world greeter {
            export greet: func(name: string) -> string;
        }
    ",
});

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        shared::echo(key, payload, &[])
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        shared::echo_key(key)
    }
}

impl Guest for Watcher {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Watcher);
