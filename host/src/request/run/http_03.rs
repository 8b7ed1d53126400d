//! Instances of wasi:http 0.3 services: several requests at a time in one store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, GuestTaskId, Instance};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::{Service, ServiceIndices};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::functions::{Invocation, Returned};
use super::http_02::{IDLE_MAX, close};
use super::instance::Ending;
use super::meter::Bill;
use super::queue::Queue;
use super::state::{self, State};
use super::{Answer, Job, Life};
use crate::capability::output::{LogStream, Stream};
use crate::fault::{Cause, Fault};
use crate::request::body::Held;
use crate::request::call::Errand;
use crate::request::exchange::{self, Exchange};

/// An instance, and its handler if it has one.
struct Guest {
    instance: Instance,
    service: Option<Service>,
}

pub(super) async fn live(
    life: &Life,
    entry: Option<&ServiceIndices>,
    first: Box<Job>,
    mut queue: Queue,
) {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(LogStream::new(Stream::Stdout, life.revision.output.clone()));
    let mut store = life.store(&mut wasi);
    life.grant(first.payer.as_ref(), true);
    let program = &life.program.instance;
    let instance = program.instantiate_async(&mut store).await;
    let loaded = instance.and_then(|instance| {
        let service = entry.map(|entry| entry.load(&mut store, &instance));
        let service = service.transpose()?;
        Ok(Guest { instance, service })
    });
    let guest = match loaded {
        Ok(guest) => guest,
        Err(error) => {
            let fault = life.fault(&error, store.data(), Cause::InstantiationFailed);
            // Whoever waited may be gone.
            drop(first.reply.send(Err(fault)));
            return;
        }
    };
    let ending = Ending::of(&life.instance);
    let inside = Inside::default();
    let service_of_all = first.exchange.routed().cloned();
    let result = store
        .run_concurrent(async |accessor| {
            take_jobs(life, accessor, &guest, first, &mut queue, &inside).await
        })
        .await;
    if let Err(error) = result.and_then(|inner| inner) {
        let fault = life.fault(&error, store.data(), Cause::GuestTrapped);
        let anyone = inside.fail(&fault);
        if let (false, Some(service)) = (anyone, service_of_all) {
            exchange::late(&service, life.revision.number, "", &fault);
        }
    }
    ending.well();
}

/// Serves jobs until the instance is closed or has had nothing to do for a while.
///
/// # Errors
/// The trap that ended the guest, and with it every request inside.
async fn take_jobs(
    life: &Life,
    accessor: &Accessor<State>,
    guest: &Guest,
    first: Box<Job>,
    queue: &mut Queue,
    inside: &Inside,
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    running.push(serve(life, accessor, guest, first, inside));
    let mut idle_until = Instant::now() + IDLE_MAX;
    loop {
        if !life.stays_open() {
            close(life, queue);
        }
        if running.is_empty() && queue.is_over() {
            break;
        }
        tokio::select! {
            biased;
            Some(served) = running.next() => {
                served?;
                idle_until = Instant::now() + IDLE_MAX;
            }
            Some(job) = queue.next() => {
                life.grant(job.payer.as_ref(), running.is_empty());
                accessor.with(|access| state::rearm(access));
                running.push(serve(life, accessor, guest, job, inside));
            }
            () = sleep_until(idle_until), if running.is_empty() => life.instance.shut(),
            else => {}
        }
    }
    // What the guest does after its last response is part of its last request.
    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    Ok(())
}

async fn serve(
    life: &Life,
    accessor: &Accessor<State>,
    guest: &Guest,
    job: Box<Job>,
    inside: &Inside,
) -> wasmtime::Result<()> {
    let Job {
        request,
        reply,
        exchange,
        errand,
        payer,
        seat,
        guards,
        ..
    } = *job;
    // What one of several guests in a store has computed is not known: they are granted what the payer has left.
    let payer = payer.filter(|_| life.instance.is_exclusive());
    let _bill = payer.map(|payer| Bill::begin(payer, &life.meter));
    let number = inside.enter(reply, exchange);
    let task = match (Invocation::of(&request).cloned(), &guest.service) {
        (Some(invocation), _) => {
            let functions = &life.program.functions;
            let mut results = Vec::new();
            let call = accessor.with(|mut access| {
                let (func, room) = functions.find(&mut access, &guest.instance, &invocation)?;
                results = room;
                let call = func.start_call_concurrent(
                    access.as_context_mut(),
                    &invocation.arguments,
                    &mut results,
                )?;
                access.data_mut().works_on_in(call.task(), errand);
                wasmtime::error::Ok((func, call))
            });
            match call {
                Ok((func, call)) => {
                    let task = call.task();
                    func.finish_call_concurrent(accessor, call).await?;
                    inside.answer(number, Ok(Returned::answer(results)));
                    Some(task)
                }
                // It has not begun: nobody else inside has to suffer for it.
                Err(error) => {
                    let fault = Fault::new(Cause::InvalidResponse, format!("{error:#}"));
                    inside.answer(number, Err(fault));
                    None
                }
            }
        }
        (None, Some(service)) => {
            let answering = Answering {
                inside,
                number,
                errand,
            };
            Some(answering.handle(accessor, service, request).await?)
        }
        (None, None) => wasmtime::bail!("the component has no handler for requests"),
    };
    inside.leave(number);
    if let Some(task) = task {
        accessor.with(|mut access| access.data_mut().has_answered(task));
    }
    if life.program.calls_functions {
        // Whoever comes next would wait for a call that the guest makes after its answer.
        std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    }
    drop((seat, guards));
    Ok(())
}

/// A request that the handler is to answer.
struct Answering<'a> {
    inside: &'a Inside,
    number: u64,
    errand: Option<Arc<Errand>>,
}

impl Answering<'_> {
    /// Has the guest answer, to the end of its body; answers in which task it did.
    async fn handle(
        self,
        accessor: &Accessor<State>,
        service: &Service,
        request: http::Request<WasiBody>,
    ) -> wasmtime::Result<GuestTaskId> {
        let handler = service.wasi_http_handler().func_handle();
        let (call, request_io) = accessor.with(|mut access| {
            let http = access.data_mut().http();
            let (request, io) = Request::from_http(http.hooks, request);
            let request = http.table.push(request)?;
            let call = handler.start_call_concurrent(access.as_context_mut(), (request,))?;
            access.data_mut().works_on_in(call.task(), self.errand);
            let io: BoxFuture<'static, Result<(), wasmtime_wasi_http::Error>> = Box::pin(io);
            wasmtime::error::Ok((call, io))
        })?;
        let task = call.task();
        let (result,) = handler.finish_call_concurrent(accessor, call).await?;
        let answer = match result {
            Ok(response) => accessor
                .with(|mut access| {
                    let response = access.data_mut().http().table.delete(response)?;
                    response.into_http(access.as_context_mut(), request_io)
                })
                .map_err(|error| Fault::new(Cause::InvalidResponse, format!("{error:?}"))),
            Err(code) => Err(Fault::new(
                Cause::GuestTrapped,
                format!("the guest answered with an error: {code:?}"),
            )),
        };
        let (held, body_done) = oneshot::channel::<()>();
        self.inside.answer(
            self.number,
            answer.map(|response| response.map(|body| Held::boxed(body, held))),
        );
        // The guest may still stream its body: the request keeps its place until the body is gone. Nothing is ever sent.
        drop(body_done.await);
        Ok(task)
    }
}

/// The requests that are in the instance, kept outside the store's future so that they can be told why it ended.
#[derive(Default)]
struct Inside(Mutex<Vec<Inmate>>);

struct Inmate {
    number: u64,
    reply: Option<oneshot::Sender<Answer>>,
    exchange: Arc<Exchange>,
}

impl Inside {
    fn enter(&self, reply: oneshot::Sender<Answer>, exchange: Arc<Exchange>) -> u64 {
        let mut inmates = self.lock();
        let number = inmates.last().map_or(0, |last| last.number + 1);
        inmates.push(Inmate {
            number,
            reply: Some(reply),
            exchange,
        });
        number
    }

    fn answer(&self, number: u64, answer: Answer) {
        let reply = self
            .lock()
            .iter_mut()
            .find(|inmate| inmate.number == number)
            .and_then(|inmate| inmate.reply.take());
        if let Some(reply) = reply {
            // Whoever waited may be gone.
            drop(reply.send(answer));
        }
    }

    fn leave(&self, number: u64) {
        self.lock().retain(|inmate| inmate.number != number);
    }

    /// Tells all who are inside; whether anyone was.
    fn fail(&self, fault: &Fault) -> bool {
        let inmates = std::mem::take(&mut *self.lock());
        let anyone = !inmates.is_empty();
        for inmate in inmates {
            match inmate.reply {
                // Whoever waited may be gone.
                Some(reply) => drop(reply.send(Err(fault.clone()))),
                None => inmate.exchange.fault_after_head(fault),
            }
        }
        anyone
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Inmate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
