//! The expansion of `#[handle_watch]`: registration, and on wasm the component's export.

#[cfg(target_family = "wasm")]
mod component;

#[cfg(target_family = "wasm")]
pub use component::{Export, Slot};

use crate::watch::HandleWatch;

/// Registers `$watcher`. `#[handle_watch]` adds a call of this macro to a type. The attribute has the checks, and this macro has
/// the code.
///
/// It takes every name from `$crate`, so no name of the author can replace one. It adds no name to the author's scope, other than
/// `__one_component_has_one_watcher` in the root of the crate: a macro, because only macros reach the root from any module, and
/// the compiler refuses a second one of the same name. Only a crate that registers a watcher gets the export. A crate that only
/// depends on the SDK has none.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($watcher:ty) => {
        $crate::__private::register! { $watcher = <$watcher as $crate::__private::DefaultWatcher>::default_watcher() }
    };
    ($watcher:ty = $($init:tt)*) => {
        impl $crate::__private::Registered for $watcher {
            fn init() -> Self {
                $($init)*
            }

            #[cfg(target_family = "wasm")]
            fn slot() -> &'static $crate::__private::Slot<Self> {
                static SLOT: $crate::__private::Slot<$watcher> = $crate::__private::Slot::new();
                &SLOT
            }
        }

        // A native build does not use the watcher, and the compiler would warn that it is never constructed. This use does not
        // go through `Registered`, because the compiler would then report a missing `HandleWatch` twice.
        const _: fn($watcher) = |_| ();

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[doc(hidden)]
            #[macro_export]
            #[allow(non_local_definitions)]
            macro_rules! __one_component_has_one_watcher {
                () => {};
            }

            // The generator's macro takes a name and not a path. Hygiene does not cover names of types, so this name is unusual.
            type __InboundKeyvalueExport = $crate::__private::Export<$watcher>;
            $crate::bindings::export!(__InboundKeyvalueExport with_types_in $crate::bindings);
        };
    };
}
pub use __register as register;

/// A watcher that [`#[handle_watch]`](macro@crate::handle_watch) has registered. Only the attribute implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not registered as this component's watcher",
    label = "not registered",
    note = "put `#[handle_watch]` on `{Self}`"
)]
pub trait Registered: HandleWatch + Sized + 'static {
    /// The watcher of a new instance.
    fn init() -> Self;

    /// The place in which the instance keeps its watcher.
    #[cfg(target_family = "wasm")]
    fn slot() -> &'static component::Slot<Self>;
}

/// `Default` under another name, so that the compiler's message for a type without it can mention `init` too.
#[diagnostic::on_unimplemented(
    message = "nothing says how to make a `{Self}` for a new instance",
    label = "neither `Default` nor `init`",
    note = "put `#[derive(Default)]` on `{Self}`, or write an expression in the attribute: `#[handle_watch(init = {Self}::new())]`"
)]
pub trait DefaultWatcher {
    /// The watcher of a new instance.
    fn default_watcher() -> Self;
}

#[diagnostic::do_not_recommend]
impl<W: Default> DefaultWatcher for W {
    fn default_watcher() -> Self {
        Self::default()
    }
}
