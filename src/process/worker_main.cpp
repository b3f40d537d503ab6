// SPDX-License-Identifier: MIT
#include "process/worker_main.hpp"

#include <unistd.h>
#include <cadre/codec.hpp>
#include <cadre/detail/caught.hpp>
#include <cadre/detail/portable_call.hpp>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/large_parts.hpp"
#include "executor/worker_identity.hpp"
#include "future/waiter.hpp"
#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/code.hpp"
#include "process/end_signal.hpp"
#include "process/exception_codec.hpp"
#include "process/frame.hpp"
#include "process/memory_limit.hpp"
#include "process/memory_table.hpp"
#include "process/module_table.hpp"
#include "process/remote_worker.hpp"
#include "process/request_reader.hpp"
#include "process/shared_memory.hpp"
#include "process/shared_page.hpp"
#include "process/throw_trace.hpp"
#include "process/worker_process.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {
namespace {

using clock = std::chrono::steady_clock;

// Of long answers, so that the other side copies while this one does.
constexpr std::size_t publish_every = std::size_t{32} << 10;

/// A thread, once there is a call that takes a stop_token, which hears when that is to stop.
class stop_watch {
 public:
  explicit stop_watch(const shared_page& page) noexcept : page_{page} {}

  std::stop_token begin(std::uint64_t number) {
    if (!started_) {
      // Detached: it ends with the process.
      std::thread{[this] { watch(); }}.detach();
      started_ = true;
    }
    const std::lock_guard lock{mutex_};
    source_ = std::stop_source{};
    number_ = number;
    // The wish may have come before the call.
    static_cast<void>(page_.bell());
    if (page_.stopped() == number) source_.request_stop();
    return source_.get_token();
  }
  void end() {
    const std::lock_guard lock{mutex_};
    number_ = 0;
  }

 private:
  void watch() {
    for (std::uint32_t seen = 0;;) {
      page_.await_bell(seen);
      seen = page_.bell();
      std::optional<std::stop_source> stopped;
      {
        const std::lock_guard lock{mutex_};
        if (number_ != 0 && page_.stopped() == number_) stopped = source_;
      }
      // Without the lock: stop callbacks are the user's.
      if (stopped) stopped->request_stop();
    }
  }

  const shared_page& page_;
  bool started_ = false;
  sync::mutex mutex_;
  std::stop_source source_{std::nostopstate};  // guarded by mutex_
  std::uint64_t number_ = 0;                   // guarded by mutex_; 0: none
};

/// Where `what` points there is memory that can be read, if not a descriptor. AddressSanitizer would take
/// it for the gap between two objects.
[[gnu::no_sanitize_address]] bool is_descriptor(const detail::call_descriptor* what,
                                                std::uint64_t type) noexcept {
  return what->magic == detail::call_descriptor::expected_magic && what->type == type;
}

/// What its pool sends.
class pool_requests final : public request_reader<ipc::worker_end> {
 public:
  pool_requests(ipc::worker_end& channel, const worker_argument& settings, memory_table& memories)
      : request_reader{channel, settings.secrets.to_worker, settings.max_message},
        memories_{memories} {}

  std::shared_ptr<const void> attached(std::uint64_t number) override {
    return memories_.argument(number);
  }

 private:
  memory_table& memories_;
};

class server {
 public:
  server(ipc::worker_end& channel, shared_page& page, ipc::packet_socket packets,
         const worker_argument& settings)
      : channel_{channel},
        page_{page},
        settings_{settings},
        stops_{page},
        memories_{std::move(packets)} {
    decode_functions_with(modules_);
    detail::set_worker_identity({.index = settings_.index, .pool = settings_.pool});
  }

  /// The exit code.
  int run() {
    for (;;) {
      request_header request;
      // While the request comes from the parent's cache, so does this.
      if (!await_request()) return EXIT_FAILURE;
      page_.claims.prefetch(next_ % ipc::claim_table::slot_count);
      requests_.read(request);
      next_ = request.number + 1;
      channel_.prefetch_for_write(sizeof(answer_header));
      memories_.receive(request.packets, modules_);
      // From here to the answer the parent sees a call that was begun and not answered, if this
      // process dies. dies here: the survivor sees the call as lost; test
      // fault.process_pool_fault.a_call_that_kills_its_worker_costs_itself_only.
      const bool mine =
          request.kind != frame_kind::call ||
          page_.claims.take(request.number % ipc::claim_table::slot_count, request.number);
      const auto body = requests_.body(request);
      // The last one: its time is what the pool has to send more.
      if (channel_.peek().empty()) channel_.run_dry();
      switch (request.kind) {
        case frame_kind::receive:
          break;
        case frame_kind::forget:
          memories_.forget(request.number);
          break;
        case frame_kind::end:
          if (request.descriptor != code_address{}) run_finalizer(request, body);
          detail::clear_worker_context();
          return EXIT_SUCCESS;
        default:
          if (!mine) {
            clear_out();
            reply({.kind = frame_kind::skipped}, request);
          } else if (!serve(request, body) && request.kind == frame_kind::initialize) {
            return EXIT_FAILURE;  // before the calls that were sent behind it
          }
      }
      memories_.end_call();
    }
  }

 private:
  /// False if none will come.
  bool await_request() {
    const at_rest here{&leave};
    return requests_.await();
  }

  /// Somebody wants this process to end. What was sent to it and has not begun runs elsewhere.
  [[noreturn]] static void leave() {
    detail::clear_worker_context();
    end_in_good_order(EXIT_SUCCESS);
  }

  void require_body() const {
    if (requests_.body_lost()) throw std::bad_alloc{};
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t piece = std::min(bytes.size(), publish_every);
      const std::size_t wrote = channel_.write_some(bytes.first(piece));
      bytes = bytes.subspan(wrote);
      if (bytes.empty()) return;
      channel_.publish();
      if (wrote == piece) continue;
      const std::size_t room = std::min(bytes.size(), remote_worker::ring_capacity / 4);
      if (!channel_.wait({.room = room})) {
        throw stream_error{"it cannot answer, since the channel is damaged"};
      }
    }
  }

  /// With what stands in out_.
  void reply(answer_header answer, const request_header& to) {
    answer.check = checks_.next();
    checks_.advance();
    answer.number = to.number;
    answer.size = out_.size();
    answer.parts = parts_.size();
    answer.packets = static_cast<std::uint32_t>(memories_.result_count());
    memories_.send_results();
    if (settings_.measures_resident) answer.resident = memory_use::now().resident;
    write({reinterpret_cast<const std::byte*>(&answer), sizeof answer});
    write(out_.bytes());
    if (!parts_.empty()) write(detail::large_parts::padding(out_.size()));
    parts_.for_each_piece([this](std::span<const std::byte> piece) { write(piece); });
    channel_.publish();
  }

  const detail::call_descriptor& find(const request_header& request) {
    if (last_ != nullptr && request.descriptor == last_address_) return *last_;
    const auto* found = static_cast<const detail::call_descriptor*>(modules_.object(
        request.descriptor, sizeof(detail::call_descriptor), alignof(detail::call_descriptor)));
    if (!is_descriptor(found, request.type)) {
      throw std::runtime_error{
          "process_pool: the worker's program has other code where this call should be; it was "
          "changed after it was started: start it again"};
    }
    last_ = found;
    last_address_ = request.descriptor;
    return *found;
  }

  void clear_out() {
    out_.clear();
    parts_.clear();
    memories_.drop_results();
  }

  /// False if it threw.
  bool serve(const request_header& request, std::span<const std::byte> body) {
    clear_out();
    serving_ = {.request = &request};
    if (request.is_measured != 0) serving_.begin = clock::now();
    bool watched = false;
    const auto name_size = std::min(static_cast<std::size_t>(request.name_size), body.size());
    const std::string_view name{reinterpret_cast<const char*>(body.data()), name_size};
    detail::throw_trace trace;
    const auto work = [&] {
      require_body();
      const detail::call_descriptor& what = find(request);
      const memory_limit limit{request.max_memory};
      std::stop_token token;
      watched = what.takes_token;
      if (watched) token = stops_.begin(request.number);
      decoder in{body.subspan(name_size)};
      detail::apart::receive(in, requests_);
      const detail::parts_beside beside{out_, parts_};
      const detail::token_scope scope{&token};
      what.run(in, out_, token);
      if (!serving_.replied) refuse_too_large();
    };
    const std::exception_ptr thrown = detail::run_traced(work, trace);
    if (watched) stops_.end();
    if (serving_.replied) {
      if (thrown) std::rethrow_exception(thrown);  // the channel is damaged
      return true;
    }
    if (thrown) {
      clear_out();
      detail::encode_exception(out_, thrown, name, trace.frames(),
                               std::max(settings_.max_message, detail::exception_allowance));
    }
    send_answer(thrown ? frame_kind::error : frame_kind::value);
    return !thrown;
  }

  /// While the result of the call is still there.
  void deliver() {
    refuse_too_large();
    serving_.replied = true;
    send_answer(frame_kind::value);
  }

  void send_answer(frame_kind kind) {
    // A copy of the worker, which the call made by fork() and in which it returned, too: the channel
    // is not its own, nor is what is buffered for stdout.
    if (detail::fork_generation() != generation_) ::_exit(EXIT_SUCCESS);
    answer_header answer{.kind = kind};
    if (serving_.request->is_measured != 0) {
      const std::chrono::nanoseconds took = clock::now() - serving_.begin;
      answer.run_ns = static_cast<std::uint64_t>(took.count());
    }
    // What is left of the arguments comes before the parent can take an answer out of the way.
    requests_.skip_rest();
    reply(answer, *serving_.request);
  }

  void refuse_too_large() const {
    const std::size_t size = out_.size() + parts_.size();
    if (size <= settings_.max_message) return;
    throw codec_error{"process_pool: the result of the call takes " + std::to_string(size) +
                      " bytes, more than the max_message of " +
                      std::to_string(settings_.max_message) +
                      "; the call did run: raise the limit, or return less"};
  }

  void run_finalizer(const request_header& request, std::span<const std::byte> body) {
    try {
      require_body();
      decoder in{body};
      clear_out();
      find(request).run(in, out_, {});
    } catch (...) {
      detail::report_unhandled("finalizer", settings_.pool, detail::caught("finalizer"));
    }
  }

  ipc::worker_end& channel_;
  shared_page& page_;
  const worker_argument settings_;  // this_worker names its pool
  const unsigned generation_ = detail::fork_generation();
  module_resolver modules_;
  stop_watch stops_;
  encoder out_;
  memory_table memories_;
  pool_requests requests_{channel_, settings_, memories_};
  frame_checks checks_{settings_.secrets.to_parent};  // of the answers
  std::uint64_t next_ = 0;                            // request's number, probably
  detail::large_parts parts_{[this] { deliver(); }, &memories_};
  struct {
    const request_header* request = nullptr;
    clock::time_point begin = {};
    bool replied = false;  // before its result was destroyed
  } serving_;
  const detail::call_descriptor* last_ = nullptr;
  code_address last_address_;
};

/// The memory of a worker and its pool.
struct shared_with_pool {
  shared_with_pool(std::span<const int> fds, std::size_t size)
      : parents{ipc::region::open(ipc::descriptor{fds[0]}, size, ipc::region::access::mine)},
        page{ipc::region::open(ipc::descriptor{fds[1]}, shared_page_size,
                               ipc::region::access::both)},
        mine{ipc::region::create(size, ipc::region::access::mine)} {}

  ipc::region parents;
  ipc::region page;
  ipc::created_region mine;
};

/// Sends the pool the handle of this process's half of the channel, or else the reason why there is none.
/// Allocates nothing for that: there may be no memory.
shared_with_pool meet_pool(std::span<const int> fds, std::size_t size, ipc::packet_socket& pool) {
  try {
    shared_with_pool all{fds, size};
    const std::byte one{1};
    pool.send({&one, 1}, std::array{all.mine.handle.get()});
    all.mine.handle.reset();
    return all;
  } catch (const std::exception& e) {
    const std::string_view why{e.what()};
    pool.send(std::as_bytes(std::span{why.substr(0, 200)}));
    ::_exit(EXIT_FAILURE);
  }
}

}  // namespace

int serve_pool(std::span<const std::byte> argument, std::span<const int> fds) {
  decoder in{argument};
  const auto settings = decode<worker_argument>(in);
  ipc::packet_socket packets{ipc::descriptor{fds[3]}};
  const shared_with_pool with =
      meet_pool(fds, ipc::channel_region_size(remote_worker::ring_capacity), packets);
  ipc::worker_end channel{ipc::own_half_of(with.mine.memory), ipc::peer_half_of(with.parents),
                          ipc::event{ipc::descriptor{fds[2]}}};
  // Never deleted: a detached thread may use it while the process ends. And made anew: this process may
  // be forked from a worker.
  static server* serving = nullptr;
  serving = new server{channel, shared_page::find_in(with.page), std::move(packets), settings};
  return serving->run();
}

int worker_main(std::span<const std::byte> argument, std::span<const int> fds) {
  try {
    return serve_pool(argument, fds);
  } catch (const stream_error& e) {
    decoder in{argument};
    const auto settings = decode<worker_argument>(in);
    const std::string sentence =
        "cadre: worker " + std::to_string(settings.index) + " of \"" + settings.pool + "\" (pid " +
        std::to_string(::getpid()) + ") ends, since " + e.what() +
        "; its pool replaces it: find the call that writes to memory that is not its own, or, if "
        "there is none, report this as a fault of cadre\n";
    static_cast<void>(!::write(STDERR_FILENO, sentence.data(), sentence.size()));
    return out_of_step;
  }
}

}  // namespace cadre::process
