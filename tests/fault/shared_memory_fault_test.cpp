// SPDX-License-Identifier: MIT
// Shared memory while workers die or lie: the parent keeps what it had and believes nothing else.
#include <cadre/codec.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/answers.hpp"
#include "process/frame.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_memory.hpp"
#include "support/channel_pair.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using ints = shared_span<const int>;

int sum(const ints& values) { return std::accumulate(values.begin(), values.end(), 0); }

shared_buffer<int> counting(std::size_t count) {
  shared_buffer<int> made{count};
  std::iota(made.begin(), made.end(), 1);
  return made;
}

int die_holding(const ints& values, way how) {
  static const ints kept = values;
  end_by(how);
  return sum(kept);
}

/// Dies on its first arrival.
int dies_once(const ints& values, gate_handle at) {
  if (count_arrival(at) == 1) end_by(way::is_killed);
  return sum(values);
}

ints count_to_and_note(int n, gate_handle at) {
  arrive(at, 0);
  return counting(static_cast<std::size_t>(n)).share();
}

ints first_of(ints values) { return values; }

/// True if the error names `limit`.
template <typename Function>
bool refuses(const char* limit, Function function) {
  try {
    function();
    return false;
  } catch (const std::system_error& e) {
    return std::string{e.what()}.find(limit) != std::string::npos;
  }
}

std::size_t made_bytes(int n) { return counting(static_cast<std::size_t>(n)).size(); }

const child_program makes_shared_memory_beyond_a_limit{
    "makes shared memory beyond a limit", [] {
      ::signal(SIGXFSZ, SIG_DFL);
      rlimit files{std::size_t{16} << 20, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &files);
      {
        process_pool_executor pool{1};
        if (pool.submit(&made_bytes, 1000).get() != 1000) return 1;
        const auto too_many = [&] { pool.submit(&made_bytes, 5'000'000).get(); };
        if (!refuses("ulimit -f", too_many)) return 2;
        if (!refuses("ulimit -f", [] { counting(5'000'000); })) return 3;
      }
      files.rlim_cur = std::size_t{64} << 10;  // less than a channel
      ::setrlimit(RLIMIT_FSIZE, &files);
      try {
        process_pool_executor pool{1};
        pool.submit(&made_bytes, 10).get();
        return 4;
      } catch (const std::exception& e) {
        return std::string{e.what()}.find("ulimit -f") != std::string::npos ? 0 : 5;
      }
    }};

ints die_with_new_memory(int n) {
  const auto made = counting(static_cast<std::size_t>(n));
  end_by(way::is_killed);
  return made.share();
}

/// What a worker says that it returns.
struct forged {
  std::uint64_t bytes;
  std::uint64_t number;
  std::uint64_t offset;
};

}  // namespace
}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::forged> {
  static void encode(encoder& out, const test::forged& value) {
    out.write(value.bytes);
    out.write(value.number);
    out.write(value.offset);
  }
  static test::forged decode(decoder& in) {
    if (::cadre::decode<shared_span<const int>>(in).size() != 2) in.fail("it has another size");
    return {0, 0, 0};
  }
};

namespace cadre::test {
namespace {

/// The number by which both sides know an argument, which it does not decode.
struct spied {
  ints values = {};
  std::uint64_t number = 0;
};

}  // namespace
}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::spied> {
  static void encode(encoder& out, const test::spied& value) { ::cadre::encode(out, value.values); }
  static test::spied decode(decoder& in) {
    in.read<std::uint64_t>();  // its size
    const auto number = in.read<std::uint64_t>();
    in.read<std::uint64_t>();  // its offset
    return {{}, number};
  }
};

namespace cadre::test {
namespace {

std::uint64_t number_of(const spied& argument) { return argument.number; }
/// A worker as its pool sees it, and what its process would have.
struct half_started {
  process::remote_worker parent{0, 1, 1000};
  ipc::packet_socket packets{ipc::descriptor{::dup(parent.descriptors()[3])}};
  ipc::region parents = ipc::region::open(ipc::descriptor{::dup(parent.descriptors()[0])}, size(),
                                          ipc::region::access::mine);
  ipc::created_region workers = ipc::region::create(size(), ipc::region::access::mine);
  ipc::worker_end worker{ipc::own_half_of(workers.memory), ipc::peer_half_of(parents),
                         ipc::event{}};

  half_started() { parent.attach(workers.handle); }

  static std::size_t size() {
    return ipc::channel_region_size(process::remote_worker::ring_capacity);
  }
};

using three = std::array<std::uint64_t, 3>;
forged lie(const ints&, three as) { return {as[0], as[1], as[2]}; }

}  // namespace

TEST(shared_memory_fault, survives_the_workers_that_hold_it) {
  process_pool_executor pool{1};
  const auto values = counting(100'000);
  for (const way how : deadly_ways) {
    death_of(pool.submit(&die_holding, values.share(), how));

    EXPECT_EQ(pool.submit(&sum, values.share().first(1000)).get_for(medium_time), 500'500);
  }
}

TEST(shared_memory_fault, comes_along_when_a_call_is_run_again) {
  process_pool_executor pool{1};
  const gate here;

  const auto result =
      pool.submit({.retries = 1}, &dies_once, counting(1000).share(), here.handle());

  EXPECT_EQ(result.get_for(medium_time), 500'500);
}

TEST(shared_memory_fault, that_a_worker_made_survives_it) {
  process_pool_executor pool{1};
  const gate here;
  const ints made = pool.submit(&count_to_and_note, 1000, here.handle()).get_for(medium_time);

  death_of(pool.submit(&end, way::is_killed));

  EXPECT_EQ(sum(made), 500'500);
  EXPECT_EQ(pool.submit(&sum, made).get_for(medium_time), 500'500);
}

TEST(shared_memory_fault, that_a_worker_made_counts_against_max_message) {
  process_pool_executor pool{{.max_workers = 1, .max_message = 100'000}};
  const auto two = [](int n) {
    return std::pair{counting(static_cast<std::size_t>(n)).share(),
                     counting(static_cast<std::size_t>(n)).share()};
  };
  const auto given = counting(1'000'000);

  EXPECT_NE(failure_of<codec_error>(pool.submit(two, 13'000)).find("max_message"),
            std::string::npos);
  EXPECT_EQ(sum(pool.submit(two, 12'000).get_for(medium_time).second), 72'006'000);
  EXPECT_EQ(pool.submit(&first_of, given.share()).get_for(medium_time).size(), 1'000'000U);
}

TEST(shared_memory_fault, beyond_ulimit_f_is_an_error_here_and_in_workers) {
  EXPECT_EQ(makes_shared_memory_beyond_a_limit.run().exit_code, 0);
}

// What is left behind, the leak_check of every test would find.
TEST(shared_memory_fault, that_was_never_sent_goes_with_its_worker) {
  process_pool_executor pool{1};

  const worker_death death = death_of(pool.submit(&die_with_new_memory, 1'000'000));

  EXPECT_EQ(death.signal, SIGKILL);
}

TEST(shared_memory_fault, that_does_not_exist_costs_the_call_that_named_it) {
  process_pool_executor pool{1};
  const auto values = counting(2);
  const auto other = counting(2);
  ASSERT_EQ(pool.submit(&sum, other.share()).get_for(medium_time), 3);  // the worker knows it

  int accepted = 0;
  for (std::uint64_t number = 0; number < 2000; ++number) {
    const auto f = pool.submit(&lie, values.share(), three{8, number, 0});
    ASSERT_TRUE(f.wait_for(medium_time));
    if (!f.exception()) {
      ++accepted;
    } else {
      ASSERT_NE(failure_of<codec_error>(f).find("was not sent along"), std::string::npos);
    }
  }

  EXPECT_EQ(accepted, 1);  // the argument itself, and not the other
  EXPECT_EQ(pool.submit(&sum, values.share()).get_for(medium_time), 3);
}

TEST(shared_memory_fault, is_not_read_beyond_its_end) {
  process_pool_executor pool{1};
  const auto values = counting(2);
  const std::uint64_t number = pool.submit(&number_of, spied{values.share()}).get_for(medium_time);
  constexpr auto huge = ~std::uint64_t{0};

  ASSERT_NO_THROW(pool.submit(&lie, values.share(), three{8, number, 0}).get_for(medium_time));
  for (const three as : {three{8, number, 8}, three{12, number, 0}, three{huge - 3, number, 4},
                         three{8, number, huge - 7}, three{8, number, 1}, three{6, number, 0}}) {
    EXPECT_NE(failure_of<codec_error>(pool.submit(&lie, values.share(), as)).find("a shared_span"),
              std::string::npos)
        << as[0] << " bytes from " << as[2];
  }
}

// An answer that says that packets were sent, and none, or others, were.
TEST(shared_memory_fault, that_was_only_announced_breaks_the_protocol) {
  channel_pair channel;
  for (const std::uint32_t announced : {std::uint32_t{1}, ~std::uint32_t{0}}) {
    auto [mine, others] = ipc::packet_socket::pair();
    process::answer_header header{.packets = announced};
    header.check = process::frame_checks{7}.next();
    channel.worker.write_some(std::as_bytes(std::span{&header, 1}));
    channel.worker.publish();
    process::answer_reader reader{1000, 7};
    process::answers batch;

    EXPECT_FALSE(reader.read(channel.parent, mine, batch, 10));

    const std::byte few{1};
    others.send({&few, 1});
    channel.worker.write_some(std::as_bytes(std::span{&header, 1}));
    channel.worker.publish();
    process::answer_reader again{1000, 7};
    EXPECT_FALSE(again.read(channel.parent, mine, batch, 10));
  }
}

// As when a call could not be sent, since there was no room for the second of its memories.
TEST(shared_memory_fault, that_is_forgotten_before_it_was_used_leaves_no_packet) {
  using process::frame_kind;
  half_started there;
  const auto gone = std::make_shared<ipc::event>();
  ASSERT_TRUE(there.parent.prepare_for({detail::shared_memory::create(4096, false)}, gone));

  there.parent.forget_memories();

  process::request_header header;
  ASSERT_EQ(there.worker.read_some(&header, sizeof header), sizeof header);
  EXPECT_EQ(header.kind, frame_kind::forget);
  EXPECT_EQ(header.packets, 2U);  // the modules and the memory
}

// Nobody would make room in the socket, and no call with shared memory would be sent any more.
TEST(shared_memory_fault, that_does_not_fit_into_a_full_socket_is_sent_when_the_worker_made_room) {
  half_started there;
  const auto gone = std::make_shared<ipc::event>();
  std::vector<detail::memory_ptr> kept;
  std::uint32_t sent = 1;  // the modules
  const auto share_one_more = [&] {
    kept.push_back(detail::shared_memory::create(4096, false));
    return there.parent.prepare_for({kept.back()}, gone);
  };
  while (sent < 10'000 && share_one_more()) ++sent;
  ASSERT_LT(sent, 10'000U) << "the socket is never full";

  process::request_header header;
  ASSERT_EQ(there.worker.read_some(&header, sizeof header), sizeof header);
  EXPECT_EQ(header.kind, process::frame_kind::receive);
  EXPECT_EQ(header.packets, sent);
  EXPECT_FALSE(share_one_more());
  ASSERT_EQ(there.worker.readable(), 0U) << "nothing new is under way";

  std::array<std::byte, 4096> buffer;
  for (; sent != 0; --sent) {
    EXPECT_EQ(there.packets.receive(buffer, ipc::packet_socket::mode::dont_wait).result,
              ipc::packet_socket::outcome::done);
  }
  EXPECT_TRUE(there.parent.prepare_for(kept, gone));
}

}  // namespace cadre::test
