//! The functions that act on the store.

/// Calls whose only handle besides an error is the bucket.
macro_rules! calls_on_a_bucket {
    ($(fn $name:ident(bucket: Raw; $($parameter:ident: $type:ty),*) -> Result<$result:ty, Raw> = $nothing:expr;)*) => {
        $(
            #[track_caller]
            pub(crate) fn $name(bucket: Raw, $($parameter: $type),*) -> Result<$result, Raw> {
                call(stringify!($name), bucket.host, $nothing, |host| {
                    Ok(host.$name(bucket.number, $($parameter),*)?.map_err(|number| Raw { number, ..bucket }))
                })
            }
        )*
    };
}

pub(crate) mod readwrite {
    use crate::sys::draft;
    use crate::sys::native::{Raw, call, common};

    #[track_caller]
    pub(crate) fn get(bucket: Raw, key: &str) -> Result<Raw, Raw> {
        call("get", bucket.host, Ok(Raw::NONE), |host| {
            let got = host.get(bucket.number, key)?;
            Ok(got.map(|number| Raw { number, ..bucket }).map_err(|number| Raw { number, ..bucket }))
        })
    }

    #[track_caller]
    pub(crate) fn set(bucket: Raw, key: &str, value: Raw) -> Result<(), Raw> {
        call("set", common("set", bucket, value), Ok(()), |host| {
            Ok(host.set(bucket.number, key, value.number)?.map_err(|number| Raw { number, ..bucket }))
        })
    }

    draft::readwrite!(calls_on_a_bucket);
}

pub(crate) mod atomic {
    use crate::sys::draft;
    use crate::sys::native::{Raw, call};

    draft::atomic!(calls_on_a_bucket);
}

pub(crate) mod batch {
    use crate::sys::native::{Raw, call, common};

    fn texts<K: AsRef<str>>(keys: &[K]) -> Vec<&str> {
        keys.iter().map(AsRef::as_ref).collect()
    }

    #[track_caller]
    pub(crate) fn get_many<K: AsRef<str>>(bucket: Raw, keys: &[K]) -> Result<Vec<Raw>, Raw> {
        let raw = |number| Raw { number, ..bucket };
        call("get_many", bucket.host, Ok(Vec::new()), |host| {
            let got = host.get_many(bucket.number, &texts(keys))?;
            Ok(got.map(|numbers| numbers.into_iter().map(raw).collect()).map_err(raw))
        })
    }

    #[track_caller]
    pub(crate) fn get_keys(bucket: Raw) -> Vec<String> {
        call("get_keys", bucket.host, Vec::new(), |host| host.get_keys(bucket.number))
    }

    #[track_caller]
    pub(crate) fn set_many<K: AsRef<str>>(bucket: Raw, keys: &[K], values: &[Raw]) -> Result<(), Raw> {
        for value in values {
            common("set_many", bucket, *value);
        }
        let keys = texts(keys);
        let pairs: Vec<_> = keys.iter().zip(values).map(|(key, value)| (*key, value.number)).collect();
        call("set_many", bucket.host, Ok(()), |host| {
            Ok(host.set_many(bucket.number, &keys, &pairs)?.map_err(|number| Raw { number, ..bucket }))
        })
    }

    #[track_caller]
    pub(crate) fn delete_many<K: AsRef<str>>(bucket: Raw, keys: &[K]) -> Result<(), Raw> {
        call("delete_many", bucket.host, Ok(()), |host| {
            Ok(host.delete_many(bucket.number, &texts(keys))?.map_err(|number| Raw { number, ..bucket }))
        })
    }
}
