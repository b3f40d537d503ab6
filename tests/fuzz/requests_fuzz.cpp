// SPDX-License-Identifier: MIT
// A pool that sends anything, as its worker reads it: serve_pool() runs on a thread of the fuzzer. The
// worker must go on, or end. No call may run whose frame has a wrong check, though arguments are full
// of such frames; and as long as the pool is sound, whatever it takes back and when, the worker must not
// lose its place.
#include <cadre/codec.hpp>
#include <cadre/detail/portable_call.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fuzz/input.hpp"
#include "ipc/channel.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/answers.hpp"
#include "process/code.hpp"
#include "process/frame.hpp"
#include "process/module_table.hpp"
#include "process/packet.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_page.hpp"
#include "process/worker_main.hpp"
#include "sync/futex.hpp"

extern "C" [[gnu::weak]] void __lsan_disable();

// A worker that is told of more bytes than there is memory for drops them: the allocators of
// sanitizers are to tell it so, not to end the process.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace {

using namespace cadre;
using cadre::test::input;
using process::frame_kind;
using process::module_table;

const std::size_t region_size = ipc::channel_region_size(process::remote_worker::ring_capacity);

std::map<std::string, std::vector<int>> echo(std::map<std::string, std::vector<int>> values) {
  return values;
}
int refuse(int n) { throw std::out_of_range{std::to_string(n)}; }
std::size_t size_of(const std::vector<std::uint8_t>& all) { return all.size(); }

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}
int obeyed() { broken("a worker obeys a frame with a wrong check"); }

using echo_call = detail::bound_for<decltype(&echo), std::map<std::string, std::vector<int>>>;
using refuse_call = detail::bound_for<decltype(&refuse), int>;
using size_call = detail::bound_for<decltype(&size_of), std::vector<std::uint8_t>>;
using obeyed_call = detail::bound_for<decltype(&obeyed)>;

const std::array<const detail::call_descriptor*, 2> descriptors{
    &detail::remote_side<std::map<std::string, std::vector<int>>, echo_call, false>::descriptor,
    &detail::remote_side<int, refuse_call, false>::descriptor};
const detail::call_descriptor* const size_descriptor =
    &detail::remote_side<std::size_t, size_call, false>::descriptor;
const detail::call_descriptor* const obeyed_descriptor =
    &detail::remote_side<int, obeyed_call, false>::descriptor;

constexpr process::frame_secrets secrets{.to_worker = 0x1234567, .to_parent = 0x89abcdef};
constexpr std::uint64_t max_message = 1'000'000;

/// A frame that a worker must never obey. It would: no claim is needed for one of this kind.
std::vector<std::byte> trap(std::uint64_t number, std::uint64_t check) {
  encoder body;
  detail::encode_callable(body, &obeyed);
  process::request_header header{.check = check, .kind = frame_kind::initialize, .number = number};
  header.size = body.size();
  header.descriptor = module_table::instance().locate(obeyed_descriptor);
  header.type = obeyed_descriptor->type;
  std::vector<std::byte> all(sizeof header + body.size());
  std::memcpy(all.data(), &header, sizeof header);
  std::memcpy(all.data() + sizeof header, body.bytes().data(), body.size());
  return all;
}

class hostile_pool {
 public:
  hostile_pool() {
    encoder argument;
    encode(argument, process::worker_argument{0, false, max_message, "fuzz", secrets});
    const std::array fds{copy_of(mine_.handle.get()), copy_of(shared_.handle.get()),
                         copy_of(bell_.fd()), copy_of(hello_.second.fd())};
    packets_ = fds[3];
    hello_.second.close();
    const auto bytes = argument.bytes();
    worker_ = std::thread{[this, fds, copy = std::vector(bytes.begin(), bytes.end())] {
      // The worker leaves all to the end of its process.
      if (__lsan_disable != nullptr) __lsan_disable();
      try {
        process::serve_pool(copy, fds);
      } catch (const process::stream_error& e) {
        if (sound_) broken(e.what());
      } catch (const std::exception&) {
      }
      done_ = true;
    }};
    std::array<std::byte, 16> buffer;
    const auto packet = hello_.first.receive(buffer);
    theirs_ = ipc::region::open(packet.descriptors.at(0), region_size, ipc::region::access::mine);
    reader_.emplace(half_, ipc::peer_half_of(theirs_));
  }

  ~hostile_pool() {
    while (!done_ && !lied_ && consumed() != tail_) {
      read();
      std::this_thread::yield();
    }
    // Positions that cannot be.
    lie();
    half_.words.tail.store(consumed() - 1);
    half_.words.head.store(std::uint64_t{1} << 62);
    while (!done_) {
      half_.words.bell.fetch_add(1);
      sync::futex_wake_shared(&half_.words.bell);
      std::this_thread::yield();
    }
    worker_.join();
    ::close(packets_);  // which a worker keeps until its process ends
  }

  /// What follows is nothing that a pool sends.
  void lie() { sound_ = false; }

  /// Waits for room, unless there will be none.
  void write(std::span<const std::byte> bytes) {
    for (; bytes.size() > piece; bytes = bytes.subspan(piece)) write(bytes.first(piece));
    while (!done_ && !lied_ && tail_ - consumed() > half_.ring.size() - piece) {
      read();
      std::this_thread::yield();
    }
    for (const std::byte b : bytes) half_.ring[tail_++ & (half_.ring.size() - 1)] = b;
    half_.words.tail.store(tail_);
    half_.words.bell.fetch_add(1);
    sync::futex_wake_shared(&half_.words.bell);
  }
  /// As the next frame.
  void send(process::request_header header, std::span<const std::byte> body) {
    header.check = checks_.next();
    checks_.advance();
    write(std::as_bytes(std::span{&header, 1}));
    write(body);
  }
  std::uint64_t next_check() const { return checks_.next(); }
  void send_packet(std::span<const std::byte> bytes) {
    hello_.first.send(bytes, {}, ipc::packet_socket::mode::dont_wait);
  }
  void tell_modules() {
    process::send_modules(hello_.first, 0, {module_table::instance().describe(0)});
    send({.kind = frame_kind::receive, .packets = 1}, {});
  }

  void set_tail(std::uint64_t to) {
    lie();
    half_.words.tail.store(to);
    lied_ = true;
  }
  void post(std::uint64_t number) {
    page().claims.post(number % ipc::claim_table::slot_count, number);
  }
  void revoke(std::uint64_t number) {
    page().claims.revoke(number % ipc::claim_table::slot_count, number);
  }
  void scribble(std::size_t at, std::byte what) {
    lie();
    shared_.memory.bytes()[at % shared_.memory.bytes().size()] = what;
  }

  void read() {
    answers_.clear();
    if (parser_.asks_where()) parser_.put_it(nullptr);
    parser_.read(*reader_, hello_.first, answers_, 64);
  }

 private:
  static constexpr std::size_t piece = 4096;

  static int copy_of(int fd) { return ::dup(fd); }
  std::uint64_t consumed() const { return ipc::peer_half_of(theirs_).words.head.load(); }
  process::shared_page& page() { return process::shared_page::find_in(shared_.memory); }

  ipc::created_region mine_ = ipc::region::create(region_size, ipc::region::access::mine);
  ipc::created_region shared_ =
      ipc::region::create(process::shared_page_size, ipc::region::access::both);
  ipc::event bell_;
  int packets_ = -1;
  std::pair<ipc::packet_socket, ipc::packet_socket> hello_ = ipc::packet_socket::pair();
  ipc::own_half half_ = ipc::own_half_of(mine_.memory);
  ipc::region theirs_;
  std::optional<ipc::parent_end> reader_;
  process::answer_reader parser_{max_message, secrets.to_parent};
  process::frame_checks checks_{secrets.to_worker};
  process::answers answers_;
  std::atomic<bool> done_{false};
  std::atomic<bool> sound_{true};
  std::uint64_t tail_ = 0;
  bool lied_ = false;
  std::thread worker_;
};

std::span<const std::byte> take_some(input& in) { return in.take(in.byte()); }

/// A call of which the worker has the code, with any arguments.
void send_call(input& in, hostile_pool& pool, frame_kind kind) {
  const bool first = in.byte() % 2 == 0;
  const detail::call_descriptor* what = descriptors[first ? 0 : 1];
  process::request_header header;
  header.kind = kind;
  header.descriptor = module_table::instance().locate(what);
  header.type = what->type;
  header.number = in.byte();
  header.name_size = in.byte() % 4;
  if (in.byte() % 4 != 0) pool.post(header.number);
  if (in.byte() % 8 == 0) pool.revoke(header.number);
  encoder body;
  body.write("name", static_cast<std::size_t>(header.name_size));
  first ? detail::encode_callable(body, &echo) : detail::encode_callable(body, &refuse);
  const auto arguments = take_some(in);
  body.write(arguments.data(), arguments.size());
  header.size = body.size();
  pool.send(header, body.bytes());
}

/// A call with a large argument, which is full of frames that must not be obeyed, and which is taken back
/// before it is sent, when half of it was, afterwards, or not at all. It may announce less than there is.
void send_large(input& in, hostile_pool& pool) {
  const std::uint64_t number = in.byte();
  const unsigned when = in.byte() % 4;
  const std::size_t size = detail::least_part + in.byte() * 1000U + in.byte();
  const std::size_t announced = in.byte() % 4 == 0 ? size - in.byte() : size;
  const std::uint64_t near = in.byte();  // a check that is almost right
  std::vector<std::byte> parts(in.byte() % 64U);
  while (parts.size() < detail::padded(size)) {
    const auto frame = trap(number, near != 0 ? pool.next_check() + near : 0);
    parts.insert(parts.end(), frame.begin(), frame.end());
  }
  parts.resize(detail::padded(size));
  encoder body;
  detail::encode_callable(body, &size_of);
  body.write(std::uint64_t{announced} | detail::apart_bit);
  process::request_header header{.number = number, .size = body.size(), .parts = parts.size()};
  header.descriptor = module_table::instance().locate(size_descriptor);
  header.type = size_descriptor->type;

  pool.post(number);
  if (when == 0) pool.revoke(number);
  pool.send(header, body.bytes());
  const std::array<std::byte, detail::part_alignment> padding{};
  pool.write(std::span{padding}.first(detail::padded(body.size()) - body.size()));
  pool.write(std::span{parts}.first(parts.size() / 2));
  if (when == 1) pool.revoke(number);
  pool.write(std::span{parts}.subspan(parts.size() / 2));
  if (when == 2) pool.revoke(number);
}

/// A frame whose check is none, or that of another frame.
void forge(input& in, hostile_pool& pool) {
  pool.lie();
  const std::uint64_t number = in.byte();
  pool.post(number);
  pool.write(trap(number, pool.next_check() + 1 + in.byte()));
}

/// Numbers that fit nothing, but for the size. Not `end` with a finalizer: what that throws is printed.
void send_nonsense(input& in, hostile_pool& pool) {
  process::request_header header;
  header.kind = static_cast<frame_kind>(in.byte());
  if (header.kind == frame_kind::end) return;
  pool.lie();
  header.is_measured = static_cast<std::uint16_t>(in.word());
  header.number = in.word();
  header.descriptor = {in.byte(), in.word()};
  header.type = in.word();
  header.name_size = in.word();
  header.packets = in.byte() % 8;  // none of which was sent
  const auto body = take_some(in);
  header.size = body.size();
  pool.send(header, body);
}

void teach(input& in, hostile_pool& pool) {
  std::vector<process::module_description> all{module_table::instance().describe(0)};
  if (in.byte() % 2 != 0) {
    pool.lie();
    const auto path = take_some(in);
    all[0].path =
        "/no/such/" + std::string{reinterpret_cast<const char*>(path.data()), path.size()};
  }
  encoder list;
  encode(list, all);
  process::packet_head head{.size = list.size(), .kind = process::packet_kind::modules};
  head.number = in.byte() % 4;
  if (head.number != 0) pool.lie();
  encoder packet;
  packet.write(&head, sizeof head);
  packet.write(list.bytes().data(), list.size());
  pool.send_packet(packet.bytes());
  pool.send({.kind = frame_kind::receive, .packets = 1}, {});
}

void step(input& in, hostile_pool& pool) {
  switch (in.byte() % 9) {
    case 0:
    case 1:
    case 2:
      return send_call(in, pool, frame_kind::call);
    case 3:
      if (in.byte() % 2 == 0) return pool.send({.kind = frame_kind::end}, {});
      return send_call(in, pool, frame_kind::initialize);
    case 4:
      return send_nonsense(in, pool);
    case 5:
      return teach(in, pool);
    case 6:
      return pool.scribble(in.byte() * 16U + in.byte(), std::byte{in.byte()});
    case 7:
      return pool.set_tail(in.word());
    default:
      switch (in.byte() % 4) {
        case 0:
          return send_large(in, pool);
        case 1:
          return forge(in, pool);
        default:
          return pool.read();
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  process::install_crossings();
  module_table::instance().locate(descriptors[0]);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in{data, size};
  hostile_pool pool;
  pool.tell_modules();
  while (!in.empty()) step(in, pool);
  return 0;
}
