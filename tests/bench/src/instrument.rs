//! Instruments a guest so that it counts the instructions of each function, as wasmtime's fuel counts them.
//!
//! The counters are in a separate memory, so they do not change the guest's own memory. Each function that the module
//! defines has two counters: one for its calls, and one for its instructions. Fuel is 1 for each call of a function,
//! plus the [`OperatorCost`] of each operator, plus 1 for each byte that a bulk memory operator moves.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
    Instruction, MemArg, MemorySection, MemoryType, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, ExportSectionReader, FunctionBody, FunctionSectionReader, GlobalSectionReader,
    MemorySectionReader, Operator, Parser, Payload, TypeRef, TypeSectionReader,
};
use wasmtime::{OperatorCost, Result, format_err};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The additional export of an instrumented guest: a function that returns the value of the counter at an index.
pub(crate) const COUNTER: &str = "counter";

const WORLD: &str = "package bench:functions; world counting { export counter: func(index: u32) -> u64; }";

/// The index of the counter for the calls of the defined function `index`. The next counter is for its instructions.
pub(crate) const fn calls(index: u32) -> u32 {
    2 * index
}

/// Adds counters to the core module of a guest.
///
/// # Errors
///
/// When `module` is not a core module.
pub(crate) fn guest(module: &[u8]) -> Result<Vec<u8>> {
    let mut counting = instrumented(module)?;
    let mut resolve = Resolve::default();
    let embedded = resolve.push_str("counting.wit", WORLD).and_then(|package| {
        let world = resolve.select_world(&[package], None)?;
        embed_component_metadata(&mut counting, &resolve, world, StringEncoding::UTF8)
    });
    embedded.map_err(|error| format_err!("{error:#}"))?;
    Ok(counting)
}

fn instrumented(module: &[u8]) -> Result<Vec<u8>> {
    let mut instrument = Instrument { imported: imported(module)?, ..Instrument::default() };
    let mut counting = wasm_encoder::Module::new();
    instrument.parse_core_module(&mut counting, Parser::new(0), module)?;
    Ok(counting.finish())
}

/// The number of functions that a module imports. It is also the index of the first function that the module defines.
pub(crate) fn imported(module: &[u8]) -> wasmparser::Result<u32> {
    let mut functions = 0;
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(imports) = payload? else { continue };
        for import in imports.into_imports() {
            functions += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
        }
    }
    Ok(functions)
}

/// The indices of the items that are added to a module, and the numbers that determine them.
#[derive(Default)]
struct Instrument {
    cost: OperatorCost,
    imported: u32,
    defined: u32,
    getter: u32,
    memory: u32,
    /// The index of a global that stores the number of bytes to move.
    len: u32,
}

type Outcome = Result<(), Error>;

impl Instrument {
    /// The address of the counter.
    fn place(&self, counter: u32) -> MemArg {
        MemArg { offset: u64::from(counter) * 8, align: 3, memory_index: self.memory }
    }

    fn add(&self, function: &mut Function, counter: u32, amount: &[Instruction<'_>]) {
        let place = self.place(counter);
        function.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I32Const(0));
        function.instruction(&Instruction::I64Load(place));
        for instruction in amount {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::I64Add).instruction(&Instruction::I64Store(place));
    }
}

impl Reencode for Instrument {
    type Error = std::convert::Infallible;

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Outcome {
        utils::parse_type_section(self, types, section)?;
        self.getter = types.len();
        types.ty().function([ValType::I32], [ValType::I64]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Outcome {
        utils::parse_function_section(self, functions, section)?;
        self.defined = functions.len();
        functions.function(self.getter);
        Ok(())
    }

    fn parse_memory_section(&mut self, memories: &mut MemorySection, section: MemorySectionReader<'_>) -> Outcome {
        utils::parse_memory_section(self, memories, section)?;
        self.memory = memories.len();
        let minimum = (u64::from(self.defined) * 16).div_ceil(1 << 16);
        memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
        Ok(())
    }

    fn parse_global_section(&mut self, globals: &mut GlobalSection, section: GlobalSectionReader<'_>) -> Outcome {
        utils::parse_global_section(self, globals, section)?;
        self.len = globals.len();
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_export_section(&mut self, exports: &mut ExportSection, section: ExportSectionReader<'_>) -> Outcome {
        utils::parse_export_section(self, exports, section)?;
        exports.export(COUNTER, ExportKind::Func, self.imported + self.defined);
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Outcome {
        utils::parse_code_section(self, code, section)?;
        let mut getter = Function::new([]);
        getter.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::I32Const(8));
        getter.instruction(&Instruction::I32Mul).instruction(&Instruction::I64Load(self.place(0)));
        code.function(getter.instruction(&Instruction::End));
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Outcome {
        let calls = calls(code.len());
        let instructions = calls + 1;
        let mut function = self.new_function_with_parsed_locals(&body)?;
        self.add(&mut function, calls, &[Instruction::I64Const(1)]);
        // The fuel since the last addition to the counter. It starts with 1 for the call.
        let mut run = 1;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            run += self.cost.cost(&operator);
            match operator {
                // The control flow branches or joins here.
                Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::End
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::Return
                | Operator::Unreachable
                    if run > 0 =>
                {
                    self.add(&mut function, instructions, &[Instruction::I64Const(run)]);
                    run = 0;
                }
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
                    let len = Instruction::GlobalGet(self.len);
                    function.instruction(&Instruction::GlobalSet(self.len));
                    self.add(&mut function, instructions, &[len.clone(), Instruction::I64ExtendI32U]);
                    function.instruction(&len);
                }
                _ => {}
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Instance, Module, Store};

    use super::*;

    /// A module with a loop, branches around and out of it, a branch table, calls and bulk memory operators.
    const WAT: &str = r#"(module
        (memory 1)
        (global (mut i32) (i32.const 0))
        (func $half (param i32) (result i32)
            (if (i32.and (local.get 0) (i32.const 1)) (then (return (i32.const 0))) (else nop))
            (i32.shr_u (local.get 0) (i32.const 1)))
        (func $switch (param i32)
            (block $two (block $one (block $zero (br_table $zero $one $two (local.get 0))) unreachable)
                (memory.fill (i32.const 0) (i32.const 7) (i32.mul (local.get 0) (i32.const 100)))
                (br $two)
                (drop (i32.const 1)))
            (memory.copy (i32.const 0) (i32.const 512) (local.get 0))
            (memory.copy (i32.const 0) (i32.const 512) (i32.const 3)))
        (func $never)
        (func (export "run") (param i32)
            (local $left i32)
            (local.set $left (local.get 0))
            (block $done
                (loop $next
                    (br_if $done (i32.eqz (local.get $left)))
                    (if (call $half (local.get $left)) (then (call $switch (i32.const 1))))
                    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                    (br $next)))
            (call $switch (i32.const 5))))"#;

    fn start(module: &[u8]) -> Result<(Store<()>, Instance)> {
        let engine = Engine::new(Config::new().consume_fuel(true))?;
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 40)?;
        let instance = Instance::new(&mut store, &Module::new(&engine, module)?, &[])?;
        Ok((store, instance))
    }

    #[test]
    fn what_is_counted_is_the_fuel() -> Result<()> {
        let module = wat::parse_str(WAT)?;
        for argument in [0, 1, 2, 7, 1000] {
            let (mut store, instance) = start(&module)?;
            let before = store.get_fuel()?;
            instance.get_typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, argument)?;
            let fuel = before - store.get_fuel()?;

            let (mut store, instance) = start(&instrumented(&module)?)?;
            instance.get_typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, argument)?;
            let counter = instance.get_typed_func::<u32, u64>(&mut store, COUNTER)?;
            let counters = (0..8).map(|index| counter.call(&mut store, index)).collect::<Result<Vec<_>>>()?;
            let entered: Vec<u64> = counters.iter().copied().step_by(2).collect();
            let argument = u64::try_from(argument)?;
            assert_eq!(entered, [argument, argument / 2 + 1, 0, 1]);
            let executed: u64 = counters.iter().skip(1).step_by(2).sum();
            assert_eq!(executed, fuel, "for {argument}");
            assert_eq!(counters[5], 0);
        }
        Ok(())
    }
}
