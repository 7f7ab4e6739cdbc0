# The real server on real sockets, with an engine that only counts.

SERVER_TEST_SRC := $(wildcard tests/server/*.c)
SERVER_TEST_OBJ := $(call obj,$(SERVER_TEST_SRC))
# The daemon starts the real engine; everything below it is under test.
SERVER_TEST_OF := $(filter-out %/daemon.o,$(SERVER_OBJ))

$(SERVER_TEST_OBJ): CPPFLAGS += $(CHECK_CFLAGS) -Itests/server
-include $(SERVER_TEST_OBJ:.o=.d)

$(B)/test_server: $(SERVER_TEST_OBJ) $(SERVER_TEST_OF) $(B)/libwpcron.a
	@echo "  LD    $@"; \
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CHECK_LIBS) $(LIBS_SERVER) $(LIBS)

check-server: $(B)/test_server
	@$(RUN_CHECK) $(B)/test_server

test: check-server

.PHONY: check-server

# The server is not in the library: what its fuzz targets link beside that.
$(FUZZ_B)/fuzz_frame: $(call fuzz_obj,fcgi/server/frame.c \
	fcgi/server/request.c)
$(FUZZ_B)/fuzz_ping: $(call fuzz_obj,fcgi/server/ping.c \
	fcgi/server/request.c)
$(FUZZ_B)/fuzz_frame $(FUZZ_B)/fuzz_ping: LIBS += $(LIBS_SERVER)
