// SPDX-License-Identifier: MIT
#include "process/worker_main.hpp"

#include <sys/resource.h>
#include <unistd.h>
#include <cadre/codec.hpp>
#include <cadre/detail/portable_call.hpp>

#include <array>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "executor/worker_identity.hpp"
#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/code.hpp"
#include "process/exception_codec.hpp"
#include "process/frame.hpp"
#include "process/module_table.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_page.hpp"
#include "process/throw_trace.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {
namespace {

using clock = std::chrono::steady_clock;

/// Sizes of this process, in bytes.
struct memory_use {
  std::uint64_t resident = 0;
  std::uint64_t data = 0;

  static memory_use now() {
    std::ifstream statm{"/proc/self/statm"};
    std::array<std::uint64_t, 6> pages{};  // size resident shared text lib data
    for (auto& p : pages) statm >> p;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return {pages[1] * page, pages[5] * page};
  }
};

/// Lets this process allocate no more than `bytes` while it lives. 0: no limit.
class memory_limit {
 public:
  explicit memory_limit(std::uint64_t bytes) {
    if (bytes == 0 || ::getrlimit(RLIMIT_DATA, &before_) != 0) return;
    rlimit lower = before_;
    lower.rlim_cur = std::min<rlim_t>(memory_use::now().data + bytes, before_.rlim_max);
    set_ = ::setrlimit(RLIMIT_DATA, &lower) == 0;
  }
  ~memory_limit() {
    if (set_) ::setrlimit(RLIMIT_DATA, &before_);
  }
  memory_limit(const memory_limit&) = delete;
  memory_limit& operator=(const memory_limit&) = delete;

 private:
  rlimit before_{};
  bool set_ = false;
};

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

class server {
 public:
  server(ipc::worker_end& channel, shared_page& page, const worker_argument& settings)
      : channel_{channel}, page_{page}, settings_{settings}, stops_{page} {
    decode_functions_with(modules_);
    detail::set_worker_identity({.index = settings_.index, .pool = settings_.pool});
  }

  /// The exit code.
  int run() {
    for (;;) {
      request_header request;
      if (!read(&request, sizeof request)) return EXIT_FAILURE;
      // From here to the answer the parent sees a call that was begun and not answered, if this
      // process dies. dies here: the survivor sees the call as lost; test
      // fault.process_pool_fault.a_call_that_kills_its_worker_costs_itself_only.
      const bool mine =
          request.kind != frame_kind::call || page_.claims.take(request.slot, request.number);
      const auto body = read_body(static_cast<std::size_t>(request.size));
      switch (request.kind) {
        case frame_kind::learn_module:
          learn(request, body);
          break;
        case frame_kind::end:
          if (request.descriptor != code_address{}) run_finalizer(request, body);
          detail::clear_worker_context();
          return EXIT_SUCCESS;
        default:
          if (!mine) {
            reply({.kind = frame_kind::skipped}, request, {});
          } else if (!serve(request, body) && request.kind == frame_kind::initialize) {
            return EXIT_FAILURE;  // before the calls that were sent behind it
          }
      }
    }
  }

 private:
  bool read(void* to, std::size_t size) {
    auto* at = static_cast<std::byte*>(to);
    while (size != 0) {
      const std::size_t got = channel_.read_some(at, size);
      at += got;
      size -= got;
      if (size != 0 && !channel_.wait({.bytes = 1})) return false;
    }
    return true;
  }

  std::span<const std::byte> read_body(std::size_t size) {
    if (size > capacity_) {
      body_.reset(new std::byte[size]);
      capacity_ = size;
    }
    if (!read(body_.get(), size)) throw std::runtime_error{"worker: the channel is damaged"};
    return {body_.get(), size};
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t piece = std::min(bytes.size(), remote_worker::publish_every);
      const std::size_t wrote = channel_.write_some(bytes.first(piece));
      bytes = bytes.subspan(wrote);
      if (bytes.empty()) return;
      channel_.publish();
      if (wrote == piece) continue;
      const std::size_t room = std::min(bytes.size(), remote_worker::ring_capacity / 4);
      if (!channel_.wait({.room = room})) {
        throw std::runtime_error{"worker: the channel is damaged"};
      }
    }
  }

  void reply(answer_header answer, const request_header& to, std::span<const std::byte> body) {
    answer.number = to.number;
    answer.size = body.size();
    if (settings_.measures_resident) answer.resident = memory_use::now().resident;
    write({reinterpret_cast<const std::byte*>(&answer), sizeof answer});
    write(body);
    channel_.publish();
  }

  void learn(const request_header& request, std::span<const std::byte> body) {
    decoder in{body};
    module_description what;
    what.path = decode<std::string>(in);
    what.identity = decode<std::string>(in);
    modules_.learn(request.slot, std::move(what));
  }

  const detail::call_descriptor& find(const request_header& request) {
    if (last_ != nullptr && request.descriptor == last_address_) return *last_;
    const auto* found = static_cast<const detail::call_descriptor*>(modules_.object(
        request.descriptor, sizeof(detail::call_descriptor), alignof(detail::call_descriptor)));
    if (found->magic != detail::call_descriptor::expected_magic || found->type != request.type) {
      throw std::runtime_error{
          "process_pool: the worker's program has other code where this call should be; it was "
          "changed after it was started: start it again"};
    }
    last_ = found;
    last_address_ = request.descriptor;
    return *found;
  }

  /// False if it threw.
  bool serve(const request_header& request, std::span<const std::byte> body) {
    const auto begin = clock::now();
    out_.clear();
    answer_header answer{.kind = frame_kind::value};
    bool begun = false;
    bool watched = false;
    const auto name_size = static_cast<std::size_t>(request.name_size);
    const std::string_view name{reinterpret_cast<const char*>(body.data()), name_size};
    detail::throw_trace trace;
    const auto work = [&] {
      const detail::call_descriptor& what = find(request);
      const memory_limit limit{request.max_memory};
      std::stop_token token;
      watched = what.takes_token;
      if (watched) token = stops_.begin(request.number);
      decoder in{body.subspan(name_size)};
      const detail::token_scope scope{&token};
      what.run(in, out_, token, begun);
      if (out_.size() > settings_.max_message) refuse_result();
    };
    if (const std::exception_ptr thrown = detail::run_traced(work, trace)) {
      out_.clear();
      answer.kind = frame_kind::error;
      detail::encode_exception(out_, thrown, name, trace.frames());
    }
    if (watched) stops_.end();
    answer.begun = begun ? 1 : 0;
    answer.run_ns =
        static_cast<std::uint64_t>(std::chrono::nanoseconds{clock::now() - begin}.count());
    reply(answer, request, out_.bytes());
    return answer.kind == frame_kind::value;
  }

  [[noreturn]] void refuse_result() const {
    throw codec_error{"process_pool: the result of the call takes " + std::to_string(out_.size()) +
                      " bytes, more than the max_message of " +
                      std::to_string(settings_.max_message) +
                      "; the call did run: raise the limit, or return less"};
  }

  void run_finalizer(const request_header& request, std::span<const std::byte> body) {
    try {
      decoder in{body};
      bool begun = false;
      find(request).run(in, out_, {}, begun);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "cadre: the finalizer of a worker threw: %s\n", e.what());
    }
  }

  ipc::worker_end& channel_;
  shared_page& page_;
  const worker_argument settings_;  // this_worker names its pool
  module_resolver modules_;
  stop_watch stops_;
  encoder out_;
  std::unique_ptr<std::byte[]> body_;
  std::size_t capacity_ = 0;
  const detail::call_descriptor* last_ = nullptr;
  code_address last_address_;
};

}  // namespace

int worker_main(std::span<const std::byte> argument, std::span<const int> fds) {
  decoder in{argument};
  const auto settings = decode<worker_argument>(in);
  const std::size_t size = ipc::channel_region_size(remote_worker::ring_capacity);
  const auto parents = ipc::region::open(ipc::descriptor{fds[0]}, size, ipc::region::access::mine);
  const auto shared =
      ipc::region::open(ipc::descriptor{fds[1]}, shared_page_size, ipc::region::access::both);
  auto mine = ipc::region::create(size, ipc::region::access::mine);
  ipc::worker_end channel{ipc::own_half_of(mine.memory), ipc::peer_half_of(parents),
                          ipc::event{ipc::descriptor{fds[2]}}};
  {
    ipc::packet_socket hello{ipc::descriptor{fds[3]}};
    const std::byte one{1};
    hello.send({&one, 1}, std::array{mine.handle.get()});
    mine.handle.reset();
  }
  // Static, because a detached thread may use it while the process ends.
  static server* serving = new server{channel, shared_page::find_in(shared), settings};
  return serving->run();
}

}  // namespace cadre::process
